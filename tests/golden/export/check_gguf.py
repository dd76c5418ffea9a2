#!/usr/bin/env python3
"""Opens an exported bundle with llama.cpp and compares its greedy tokens with ours.

    check_gguf.py WEIGHTS.gguf MMPROJ.gguf CASE.json

CASE has `ids`, a prompt without pictures, and `greedy`, our tokens after it; `before` and `after`, text around a picture,
`picture`, a PNG file, and `seen`, our tokens after those. Prints how many tokens agree from the start, as JSON. Run with
llama-cpp-python 0.3.36.
"""
import ctypes, json, sys
import llama_cpp
from llama_cpp import mtmd_cpp

weights, mmproj, case = sys.argv[1:]
case = json.load(open(case))
model = llama_cpp.Llama(weights, n_ctx=1024, n_threads=1, verbose=False)
vocabulary = model.n_vocab()


def agree(found, wanted):
    return next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), len(wanted))


def best():
    scores = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    return max(range(vocabulary), key=lambda token: scores[token])


model.reset()
model.eval(case["ids"])
found = []
for _ in case["greedy"]:
    found.append(best())
    model.eval(found[-1:])
result = {"text": agree(found, case["greedy"]), "of": len(case["greedy"])}

# The picture, through llama.cpp's own preparation.
parameters = mtmd_cpp.mtmd_context_params_default()
parameters.use_gpu, parameters.n_threads, parameters.print_timings = False, 1, False
vision = mtmd_cpp.mtmd_init_from_file(mmproj.encode(), model.model, parameters)
assert vision, "llama.cpp does not open the projector"
bitmap = mtmd_cpp.mtmd_helper_bitmap_init_from_file(vision, case["picture"].encode(), False)
bitmap = getattr(bitmap, "bitmap", bitmap)
text = mtmd_cpp.mtmd_input_text()
text.text = (case["before"] + mtmd_cpp.mtmd_default_marker().decode() + case["after"]).encode()
text.text_len = len(text.text)
text.add_special, text.parse_special = False, True
chunks = mtmd_cpp.mtmd_input_chunks_init()
bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
assert mtmd_cpp.mtmd_tokenize(vision, chunks, ctypes.byref(text), bitmaps, 1) == 0
llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(model.ctx), True)
past = llama_cpp.llama_pos(0)
assert mtmd_cpp.mtmd_helper_eval_chunks(vision, model.ctx, chunks, llama_cpp.llama_pos(0), llama_cpp.llama_seq_id(0), 512, True, ctypes.byref(past)) == 0
model.n_tokens = past.value
found = []
for _ in case["seen"]:
    found.append(best())
    model.eval(found[-1:])
result |= {"picture": agree(found, case["seen"]), "of_picture": len(case["seen"])}
print(json.dumps(result))
