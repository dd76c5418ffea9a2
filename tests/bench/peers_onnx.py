#!/usr/bin/env python3
"""ONNX Runtime's side of `peers.py`: wishes as JSON lines on stdin, seconds as JSON lines on stdout.

One picture tower in 32-bit floats; pixels are there before the clock starts. Nothing here is a dependency of the product.
"""
import time

import numpy as np
import onnxruntime

from peers_serve import serve


class Peer:
    def open_clip(self, wish):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = wish["threads"]
        self.session = onnxruntime.InferenceSession(wish["model"] + "/tower.onnx", options, providers=["CPUExecutionProvider"])
        return dict(secs=0.0)

    def embed(self, wish):
        # The same numbers as on the other side, so that their features can be compared.
        n = wish["n"] * 3 * 224 * 224
        pixels = (((np.arange(n, dtype=np.uint64) * 2654435761) >> 16) & 255).astype(np.float32) / 64.0 - 2.0
        pixels = pixels.reshape(wish["n"], 3, 224, 224)
        wall, cpu = time.perf_counter(), time.process_time()
        features = self.session.run(None, {"pixels": pixels})[0]
        return dict(secs=time.perf_counter() - wall, cpu_secs=time.process_time() - cpu, first=features[0, :4].tolist())


if __name__ == "__main__":
    serve(Peer())
