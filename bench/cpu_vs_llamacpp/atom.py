"""The atom program: the same measurements as of llama.cpp, and what a step must move."""
import json
import os
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from common import Problem, run


class Atom:
    def __init__(self, program, model):
        self.program, self.model = Path(program), model
        if not os.access(program, os.X_OK):
            raise Problem(f"{program}: not found; build it (cmake --preset release && cmake --build build/release --target atom "
                          "bench_ceilings) or give --atom FILE")
        self.version = run([program, "--version"]).strip()

    def flags(self, quant, isa):
        return ["--model", self.model, "--quant", quant, *(["--cpu-isa", isa] if isa else [])]

    def rate(self, quant, prompt, generated, depth, threads, repetitions, isa):
        """Median tokens/s of one sequence."""
        rows = json.loads(run([self.program, "bench", *self.flags(quant, isa), "-p", prompt, "-n", generated, "-d", depth,
                               "--threads", threads, "-r", repetitions, "-o", "json"]))
        return [rows[0]["median"]]

    def many(self, quant, sequences, prompt, generated, threads, isa):
        """Tokens written per second by `sequences` at a time: of the whole, prompts included, and of the steps after them."""
        row = json.loads(run([self.program, "bench", "engine", *self.flags(quant, isa), "-c", sequences, "--requests", sequences,
                              "--input-len", f"{prompt},{prompt}", "--output-len", f"{generated},{generated}", "--temperature", 0,
                              "--max-num-batched-tokens", sequences * prompt,  # all prompts in one step: the others only write
                              "--threads", threads, "-o", "json"]))[0]
        return [row["output_tokens_per_second"], sequences / row["tpot"]["mean"]]

    def first_token(self, quant, prompt, threads, isa):
        """Seconds from the start of the process to the first token after `prompt`."""
        command = [self.program, "run", *self.flags(quant, isa), "--threads", threads, "--max-model-len", 512, "--max-tokens", 2,
                   "--temperature", 0, "--ignore-eos"]
        begin = time.monotonic()
        with subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              bufsize=0) as process:
            process.stdin.write(prompt.encode() + b"\n")
            process.stdin.close()
            written = process.stdout.read(1)
            seconds = time.monotonic() - begin
            process.stdout.read()
        if not written or process.returncode:
            raise Problem(f"{' '.join(map(str, command))}: wrote nothing (status {process.returncode}); run it by hand")
        return [seconds]

    def prompt_tokens(self, prompt):
        return len(json.loads(run([self.program, "tokenize", "--model", self.model], stdin=prompt)))

    def next_token(self, quant, ids):
        """Log-probabilities of the token after `ids`."""
        with tempfile.TemporaryDirectory() as folder:
            given, written = Path(folder, "ids.safetensors"), Path(folder, "logits.safetensors")
            header = json.dumps({"input_ids": {"dtype": "I32", "shape": [len(ids)], "data_offsets": [0, 4 * len(ids)]}}).encode()
            header += b" " * (-len(header) % 8)
            given.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(ids)}i", *ids))
            run([self.program, "logits", *self.flags(quant, None), "--input", given, "--output", written])
            raw = written.read_bytes()
        start = 8 + struct.unpack_from("<Q", raw)[0]
        tensor = json.loads(raw[8:start])["logits"]
        last = np.frombuffer(raw, "<f4", offset=start).reshape(tensor["shape"])[-1].astype(np.float64)
        return last - last.max() - np.log(np.exp(last - last.max()).sum())

    def step(self, quant, rows, context):
        """What one step moves and computes: {"bytes", "flops", "matrix_bytes"}, the last of the matrix products alone."""
        kernels = json.loads(run([self.program, "inspect", *self.flags(quant, None), "--rows", rows, "--context", context,
                                  "--json"]))["kernels"]
        products = sum(k["bytes"] for k in kernels if k["name"].startswith("linear"))
        return {"bytes": sum(k["bytes"] for k in kernels), "flops": sum(k["flops"] for k in kernels), "matrix_bytes": products}
