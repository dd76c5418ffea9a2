#!/usr/bin/env python3
"""llama.cpp's side of `peers.py`: wishes as JSON lines on stdin, seconds as JSON lines on stdout.

Goes through the C functions that llama-cpp-python hands on, so that Python costs a call a token and nothing more. Every
model is opened with two contexts, flash attention off and on; the caller says which one counts. The rest are llama.cpp's
own defaults: weights rearranged for the processor, keys and values in F16, 512 tokens at once. `Verb` names and their
answers are those of `tests/bench/peers.rs`. Nothing here is a dependency of the product.
"""
import ctypes
import resource
import time

import llama_cpp as llama
import llama_cpp.mtmd_cpp as mtmd
import numpy as np

from peers_serve import serve

QUIET = llama.llama_log_callback(lambda *_: None)


def own_bytes():
    """Peak resident bytes of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Clock:
    """Wall and processor seconds of what is done inside."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu

    def json(self, **more):
        return dict(secs=self.wall, cpu_secs=self.cpu, **more)


class Peer:
    def __init__(self):
        for log_set in (llama.llama_log_set, mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set):
            log_set(QUIET, None)
        llama.llama_backend_init()
        self.python_bytes = own_bytes()
        self.model, self.contexts, self.eyes = None, {}, None
        self.random = np.random.default_rng(3)

    def open(self, wish):
        with Clock() as clock:
            settings = llama.llama_model_default_params()
            settings.n_gpu_layers = 0
            self.model = llama.llama_model_load_from_file(wish["model"].encode(), settings)
            assert self.model, "the model cannot be opened"
            for flash in wish.get("flash", [False, True]):
                settings = llama.llama_context_default_params()
                settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024, 1024, 512
                settings.n_threads = settings.n_threads_batch = wish["threads"]
                settings.flash_attn_type = int(flash)
                self.contexts[flash] = llama.llama_init_from_model(self.model, settings)
                assert self.contexts[flash], "no context"
            self.eyes = {}
            for flash in wish.get("flash", [False, True]) if wish.get("mmproj") else []:
                settings = mtmd.mtmd_context_params_default()
                settings.use_gpu, settings.print_timings, settings.warmup = False, False, False
                settings.n_threads, settings.flash_attn_type = wish["threads"], int(flash)
                self.eyes[flash] = mtmd.mtmd_init_from_file(wish["mmproj"].encode(), self.model, settings)
                assert self.eyes[flash], "the projector cannot be opened"
        self.n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        return clock.json()

    def read(self, context, ids):
        array = (llama.llama_token * len(ids))(*ids)
        assert llama.llama_decode(context, llama.llama_batch_get_one(array, len(ids))) == 0
        # Waits for the scores, as the one who chooses the next token does.
        assert llama.llama_get_logits_ith(context, -1)

    def forget(self, context):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)

    def prefill(self, wish):
        context = self.contexts[wish["flash"]]
        self.forget(context)
        ids = [int(id) for id in self.random.integers(0, 256, wish["n"])]
        with Clock() as clock:
            self.read(context, ids)
        return clock.json()

    def decode(self, wish):
        context = self.contexts[wish["flash"]]
        self.forget(context)
        ids = [int(id) for id in self.random.integers(0, 256, wish["n"] + 1)]
        self.read(context, ids[:1])
        with Clock() as clock:
            for id in ids[1:]:
                self.read(context, [id])
        return clock.json()

    def chunks(self, wish):
        side, text = wish["px"], wish.get("text", "What does it show?")
        # Picture of the same sort as the other side's: what it shows changes nothing.
        pixels = np.ascontiguousarray(self.random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        bitmap = mtmd.mtmd_bitmap_init(side, side, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        prompt = b"<|im_start|>user\n" + mtmd.mtmd_default_marker() + text.encode() + b"<|im_end|>\n<|im_start|>assistant\n"
        words = mtmd.mtmd_input_text()
        words.text, words.text_len, words.add_special, words.parse_special = prompt, len(prompt), False, True
        chunks = mtmd.mtmd_input_chunks_init()
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        assert mtmd.mtmd_tokenize(self.eyes[wish["flash"]], chunks, ctypes.byref(words), bitmaps, 1) == 0
        mtmd.mtmd_bitmap_free(bitmap)
        return chunks

    def encode(self, wish):
        chunks = self.chunks(wish)
        for idx in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, idx)
            if int(mtmd.mtmd_input_chunk_get_type(chunk)) == 1:
                with Clock() as clock:
                    assert mtmd.mtmd_encode_chunk(self.eyes[wish["flash"]], chunk) == 0
                n_token = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        mtmd.mtmd_input_chunks_free(chunks)
        return clock.json(n_token=n_token)

    def ask(self, wish):
        """One question about a picture, answered greedily: for the memory that it takes."""
        context, flash = self.contexts[wish["flash"]], wish["flash"]
        self.forget(context)
        with Clock() as clock:
            chunks, place = self.chunks(wish), llama.llama_pos(0)
            assert mtmd.mtmd_helper_eval_chunks(self.eyes[flash], context, chunks, 0, 0, 1024, True, ctypes.byref(place)) == 0
            for _ in range(wish["n"]):
                scores = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (self.n_vocab,))
                self.read(context, [int(scores.argmax())])
            mtmd.mtmd_input_chunks_free(chunks)
        return clock.json(peak_bytes=own_bytes(), python_bytes=self.python_bytes)


if __name__ == "__main__":
    serve(Peer())
