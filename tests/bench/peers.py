#!/usr/bin/env python3
"""Eosin beside llama.cpp and ONNX Runtime, in one run on one machine, on the same files.

    cargo xtask bench peers [ROW …] [--runs 3] [--threads 1,2] [--tokens 24] [--write PERFORMANCE.md]

Rows (all of them without a name): decode prefill encode memory busy second lookup clip.
xtask builds the bench `peers` and calls this. Models are random and of true shapes (`peers_models.py` makes what is
absent) in `~/.cache/eosin-bench`, or where EOSIN_BENCH says. llama.cpp and ONNX Runtime run in the Python that
EOSIN_PYTHON names, which needs llama-cpp-python, gguf and, for the row `clip`, torch, transformers, onnx and onnxruntime;
without it one is made in that folder with pip.

Both programs are open at once and take turns, so that a machine whose speed drifts harms both alike; the one that waits
sleeps. Printed are medians, and the median of each turn's ratio. llama.cpp runs with flash attention off or on, whichever
was faster in a first turn that is not counted. `--clock cpu` takes processor seconds in place of wall time, which says
something on a busy machine, at one thread only. The table is merged into the lines between the markers of PERFORMANCE.md,
each line with its commit and date. Nothing here is a dependency of the product.
"""
import argparse
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from peers_models import CYCLE, MISLEADING  # noqa: E402

ROWS = "decode prefill encode memory busy second lookup clip".split()
TYPES = ["Q4_0", "Q4_K_M", "Q8_0"]
MMPROJ = "mmproj-3b-Q8_0.gguf"
RECITE = "qwen25vl-3b-recite-Q4_0.gguf"
BEGIN, END = "<!-- bench peers: begin -->", "<!-- bench peers: end -->"
PACKAGES = "llama-cpp-python==0.3.36 gguf numpy onnx onnxruntime torch transformers".split()
SIDE_PX = 448


def text_file(kind):
    return f"qwen25vl-3b-{kind}.gguf"


class Program:
    """A program that takes wishes as JSON lines and answers each with one."""

    def __init__(self, command, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def __call__(self, do, **wish):
        self.child.stdin.write(json.dumps(dict(wish, do=do)) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        answer = json.loads(line) if line else dict(error="it ended")
        if "error" in answer:
            sys.exit(f"{self.child.args[-1]}: {do}: {answer['error']}")
        return answer

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Bench:
    def __init__(self, args):
        self.args, self.roofs = args, {}
        self.folder = os.environ.get("EOSIN_BENCH") or os.path.join(os.path.expanduser("~"), ".cache/eosin-bench")
        os.makedirs(self.folder, exist_ok=True)
        self.python = os.environ.get("EOSIN_PYTHON") or self.own_python()

    def own_python(self):
        folder = os.path.join(self.folder, "python")
        python = os.path.join(folder, "bin/python")
        if not os.path.exists(os.path.join(folder, "complete")):
            print(f"making a Python with {' '.join(PACKAGES)}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            open(os.path.join(folder, "complete"), "w").close()
        return python

    def file(self, name):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            subprocess.run([self.python, os.path.join(HERE, "peers_models.py"), self.folder, name], check=True)
        return path

    @contextmanager
    def eosin(self, threads, **opened):
        program = Program([self.args.bench], threads)
        for do, wish in opened.items():
            program(do, **wish)
        yield program
        program.close()

    @contextmanager
    def llama(self, threads, **wish):
        program = Program([self.python, os.path.join(HERE, "peers_llama.py")], threads)
        program("open", threads=threads, **wish)
        yield program
        program.close()

    def secs(self, answer):
        return answer["cpu_secs" if self.args.clock == "cpu" else "secs"]

    def turns(self, ours, theirs, n):
        """Rates of both in turn: n over the seconds that each took."""
        rates = []
        for _ in range(self.args.runs):
            pair = []
            for run in (ours, theirs):
                time.sleep(0.1)
                pair.append(n / self.secs(run()))
            rates.append(pair)
        return rates

    def faster(self, llama, do, **wish):
        """Whether flash attention is the faster for this; also warms up."""
        return min([False, True], key=lambda flash: self.secs(llama(do, flash=flash, **wish)))

    def roof(self, threads):
        if threads not in self.roofs:
            with self.eosin(threads) as eosin:
                self.roofs[threads] = eosin("roof", threads=threads)["bytes_per_sec"]
        return self.roofs[threads]

    def line(self, work, threads, rates, unit, aim, note="", smaller=False, digits=2):
        ours, theirs = (statistics.median(side) for side in zip(*rates))
        ratio = statistics.median(mine / other for mine, other in rates)
        reached = ratio <= aim if smaller else ratio >= aim
        cells = [work, str(threads), f"{ours:.{digits}f} {unit}", f"{theirs:.{digits}f}", f"{ratio:.3f}" if aim < 0.2 else f"{ratio:.2f}",
                 f"{'≤' if smaller else '≥'} {aim:g}{'' if reached else ' **no**'}", note, f"{commit()} {time.strftime('%Y-%m-%d')}"]
        print("| " + " | ".join(cells) + " |", flush=True)
        if self.args.write:
            merge(self.args.write, cells, self.machine())

    def text(self, wanted):
        for threads in self.args.threads:
            for kind in self.args.types:
                model = self.file(text_file(kind))
                with self.eosin(threads, open=dict(model=model)) as eosin, self.llama(threads, model=model) as llama:
                    if "decode" in wanted:
                        n = self.args.tokens
                        eosin("decode", n=2)
                        flash = self.faster(llama, "decode", n=4)
                        rates = self.turns(lambda: eosin("decode", n=n), lambda: llama("decode", n=n, flash=flash), n)
                        self.line(f"decode {kind}", threads, rates, "tok/s", 1.25, self.share(rates, model, threads, flash))
                    if "prefill" in wanted:
                        eosin("prefill", n=32)
                        flash = self.faster(llama, "prefill", n=self.args.prefill)
                        rates = self.turns(lambda: eosin("prefill", n=self.args.prefill), lambda: llama("prefill", n=self.args.prefill, flash=flash), self.args.prefill)
                        self.line(f"prefill {self.args.prefill} {kind}", threads, rates, "tok/s", 1.5, f"flash {'on' if flash else 'off'}", digits=1)

    def share(self, rates, model, threads, flash):
        """What of the memory's bandwidth the reading of all weights takes."""
        ours, theirs = (statistics.median(side) * os.path.getsize(model) / self.roof(threads) for side in zip(*rates))
        return f"of the read bandwidth, {self.roof(threads) / 1e9:.1f} GB/s: {ours:.0%}, {theirs:.0%}; flash {'on' if flash else 'off'}"

    def encode(self):
        model, mmproj = self.file(text_file("Q4_0")), self.file(MMPROJ)
        for threads in self.args.threads:
            with self.eosin(threads, open=dict(model=model, mmproj=mmproj)) as eosin, self.llama(threads, model=model, mmproj=mmproj) as llama:
                wish = dict(px=SIDE_PX)
                n_token = eosin("encode", px=112)["n_token"]
                flash = self.faster(llama, "encode", **wish)
                assert n_token == 16, n_token
                rates = self.turns(lambda: eosin("encode", **wish), lambda: llama("encode", flash=flash, **wish), 1)
                self.line(f"image encode {SIDE_PX} × {SIDE_PX}", threads, rates, "a second", 2.5, f"Q8_0; flash {'on' if flash else 'off'}", digits=3)

    def memory(self):
        model, mmproj, threads = self.file(text_file("Q4_K_M")), self.file(MMPROJ), max(self.args.threads)
        sizes = sum(os.path.getsize(file) for file in (model, mmproj)) / 2**20
        pairs = []
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(png(SIDE_PX))
            file.flush()
            command = [self.args.eosin, "ask", "What does it show?", "--image", file.name, "--model", model, "--mmproj", mmproj, "--device", "cpu", "--greedy",
                       "--json", "--ignore-eos", "--max-tokens", "16"]
            for _ in range(min(self.args.runs, 2)):
                ours = peak_bytes(command, threads) / 2**20
                with self.llama(threads, model=model, mmproj=mmproj, flash=[True]) as llama:
                    answer = llama("ask", flash=True, px=SIDE_PX, n=16)
                # The interpreter's own part is not llama.cpp's.
                pairs.append((ours, (answer["peak_bytes"] - answer["python_bytes"]) / 2**20))
        self.line("peak RSS, Q4_K_M, a picture and its question", threads, pairs, "MiB", 0.65, f"files {sizes:.0f} MiB", smaller=True, digits=0)

    def busy(self):
        """Two threads while another program has one of the two cores, against one thread on a quiet machine."""
        kind, n = "Q4_K_M", self.args.tokens
        model = self.file(text_file(kind))
        with self.eosin(1, open=dict(model=model)) as alone, self.eosin(2, open=dict(model=model)) as eosin, self.llama(1, model=model) as llama_alone, self.llama(2, model=model) as llama:
            for program in (alone, eosin):
                program("decode", n=2)
            flash = self.faster(llama, "decode", n=4)
            quiet, crowded = [], []
            for _ in range(self.args.runs):
                quiet.append([n / alone("decode", n=n)["secs"], n / llama_alone("decode", n=n, flash=flash)["secs"]])
                with busy_core():
                    crowded.append([n / eosin("decode", n=n)["secs"], n / llama("decode", n=n, flash=flash)["secs"]])
        ours = [(busy[0], still[0]) for busy, still in zip(crowded, quiet)]
        theirs = statistics.median(busy[1] / still[1] for busy, still in zip(crowded, quiet))
        self.line(f"decode {kind}, other core busy, against own quiet one-thread rate", 2, ours, "tok/s", 0.9, f"llama.cpp does {theirs:.2f} of its own")

    def second(self):
        """Time to the first token of a second question about one picture, as a share of the first's."""
        for threads in self.args.threads:
            wish = dict(model=self.file(text_file("Q4_K_M")), mmproj=self.file(MMPROJ))
            with self.eosin(threads, open_session=wish) as eosin:
                pairs = []
                for _ in range(min(self.args.runs, 3)):
                    eosin("forget")
                    first = eosin("ask", px=SIDE_PX, n=1, text="What does the picture show?")
                    later = eosin("ask", px=SIDE_PX, n=1, text="Is there a mitosis?")
                    pairs.append((self.secs(later), self.secs(first)))
            note = f"reads {later['n_prompt'] - later['n_reused']} of {later['n_prompt']} tokens again; compared with its own first"
            self.line("second question about a picture, s to first token", threads, pairs, "s", 0.05, note, smaller=True)

    def lookup(self):
        """Prompt lookup against plain decoding, on a text that repeats its prompt and on one that misleads."""
        for threads in self.args.threads:
            with self.eosin(threads, open_session=dict(model=self.file(RECITE))) as eosin:
                for work, text, n, aim in [("that repeats its prompt", CYCLE + CYCLE, 96, 1.5), ("that misleads", MISLEADING, 40, 0.97)]:
                    wish, pairs = dict(text=text, n=n), []
                    eosin("ask", n=1, text=text)
                    for _ in range(self.args.runs):
                        found, plain = (eosin("ask", lookup=lookup, **wish) for lookup in (True, False))
                        assert found["token_ids"] == plain["token_ids"], "prompt lookup changed the answer"
                        assert CYCLE in plain["text"] or "mislead" in work, plain["text"]
                        pairs.append([n / answer["decode_cpu_secs" if self.args.clock == "cpu" else "decode_secs"] for answer in (found, plain)])
                    note = f"against plain decoding, same tokens; of {found.get('n_proposed')} proposed {found.get('n_accepted')} taken"
                    self.line(f"prompt lookup, text {work}", threads, pairs, "tok/s", aim, note)

    def clip(self):
        for threads in self.args.threads:
            for name, words in [("clip-b16", "ViT-B/16"), ("clip-l14", "ViT-L/14")]:
                model = self.file(name)
                onnx = Program([self.python, os.path.join(HERE, "peers_onnx.py")], threads)
                onnx("open_clip", model=model, threads=threads)
                for format in ("f32", "bf16"):
                    with self.eosin(threads, open_clip=dict(model=model, format=format)) as eosin:
                        for batch in (1, 16):
                            ours, theirs = (program("embed", n=batch)["first"] for program in (eosin, onnx))
                            worst = max(abs(mine - other) for mine, other in zip(ours, theirs))
                            # Short ones are repeated.
                            n_run = 4 if batch == 1 else 1
                            rates = []
                            for _ in range(n_run):
                                rates += self.turns(lambda: eosin("embed", n=batch), lambda: onnx("embed", n=batch), batch)
                            self.line(f"CLIP {words} {format}, batch {batch}", threads, rates, "images/s", 1.2, f"ONNX Runtime f32; features differ by {worst:.0e}")
                onnx.close()

    def run(self):
        rows = self.args.rows or ROWS
        if "decode" in rows or "prefill" in rows:
            self.text(rows)
        for row in rows:
            if row not in ("decode", "prefill"):
                getattr(self, row)()

    def machine(self):
        model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
        roofs = ", ".join(f"{self.roof(threads) / 1e9:.1f} GB/s with {threads} thread{'s' if threads > 1 else ''}" for threads in (1, 2))
        return f"{os.cpu_count()} cores of {model}, {platform.system()}; read bandwidth {roofs}; load {os.getloadavg()[0]:.1f} at the last line"


def peak_bytes(command, threads):
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, RAYON_NUM_THREADS=str(threads)))
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed: {said.decode(errors='replace')[-400:]}")
    return usage.ru_maxrss * 1024


@contextmanager
def busy_core():
    """Another program that never rests, held to the last core."""
    core = os.cpu_count() - 1
    spin = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", spin])
    time.sleep(0.3)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def png(side_px):
    """A square picture of noise, as a PNG."""
    state, rows = 1, bytearray()
    for _ in range(side_px):
        rows.append(0)
        for _ in range(side_px * 3):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            rows.append(state >> 23)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b"")


def commit():
    done = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def merge(path, line, machine):
    """Puts a line in the place of the one that measured the same, between the markers."""
    text = open(path, encoding="utf-8").read()
    if BEGIN not in text or END not in text:
        sys.exit(f"{path} has no place for the table: {BEGIN} … {END}")
    before, rest = text.split(BEGIN, 1)
    old, after = rest.split(END, 1)
    kept = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in old.splitlines() if line.startswith("| ") and "Eosin" not in line]
    table = {(cells[0], cells[1]): cells for cells in kept if len(cells) == 8}
    table[line[0], line[1]] = line
    head = ["work", "threads", "Eosin", "peer", "ratio", "aim", "", "commit, date"]
    rows = ["| " + " | ".join(cells) + " |" for cells in [head, *table.values()]]
    rows.insert(1, "|" + "---|" * len(head))
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{machine}.\n\n" + "\n".join(rows) + f"\n\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[[], *ROWS])
    parser.add_argument("--eosin", required=True, help="the binary")
    parser.add_argument("--bench", required=True, help="the bench program `peers`")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24, help="tokens of one turn of decoding")
    parser.add_argument("--prefill", type=int, default=512, help="tokens of one turn of reading a prompt")
    parser.add_argument("--threads", type=lambda text: [int(count) for count in text.split(",")], default=[2, 1])
    parser.add_argument("--types", type=lambda text: text.split(","), default=TYPES)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--write", help="file with the markers that the table is merged into")
    Bench(parser.parse_args()).run()


if __name__ == "__main__":
    main()
