"""llama.cpp: its build, and what its programs print. Targets only: no web page, no curl, no TLS, nothing installed."""
import json
import os
import re
import shutil
import statistics
import subprocess
import tarfile
import time
import urllib.request
from pathlib import Path

from common import Problem, free_port, note, run

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # 127.0.0.1 needs no proxy
HERE = Path(__file__).resolve().parent
PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-server")
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release", "BUILD_SHARED_LIBS": "OFF", "GGML_STATIC": "OFF", "LLAMA_CURL": "OFF", "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_UI": "OFF", "LLAMA_USE_PREBUILT_UI": "OFF", "LLAMA_BUILD_TESTS": "OFF", "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF", "LLAMA_BUILD_TOOLS": "ON", "LLAMA_BUILD_SERVER": "ON"}
ISA = {
    "native": {"GGML_NATIVE": "ON"},
    "avx2": {"GGML_NATIVE": "OFF", "GGML_AVX": "ON", "GGML_AVX2": "ON", "GGML_FMA": "ON", "GGML_F16C": "ON", "GGML_BMI2": "ON",
             "GGML_AVX512": "OFF", "GGML_AMX_TILE": "OFF", "GGML_AMX_INT8": "OFF", "GGML_AMX_BF16": "OFF"}}


def find_source(given, work):
    """The llama.cpp tree in a folder, or in an archive of llama.cpp or of llama-cpp-python, which is unpacked once."""
    path = Path(given)
    if path.is_file():
        into = Path(work) / "source"
        if not into.exists():
            note(f"unpacking {path}")
            partial = Path(work) / "source.partial"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                with tarfile.open(path) as archive:
                    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                    archive.extractall(partial, **safe)
            except tarfile.TarError as e:
                raise Problem(f"{path}: {e}; give a .tar.gz of llama.cpp or llama-cpp-python") from None
            partial.rename(into)
        path = into
    for candidate in [path, path / "vendor/llama.cpp", *path.glob("*"), *path.glob("*/vendor/llama.cpp")]:
        if (candidate / "ggml/CMakeLists.txt").is_file():
            return candidate
    raise Problem(f"{given}: no llama.cpp tree in it (ggml/CMakeLists.txt); give its folder, or the llama-cpp-python sdist")


def build(source, folder, isa, jobs):
    """Configures and builds PROGRAMS for one instruction set; -> their folder. Does nothing where they are built already."""
    folder = Path(folder)
    programs = folder / "bin"
    if all((programs / p).is_file() for p in PROGRAMS):
        return programs
    note(f"building llama.cpp ({isa}) in {folder}; this takes a while the first time, log in {folder}/build.log")
    folder.mkdir(parents=True, exist_ok=True)
    fix = HERE / "amx_tile_config.hpp"
    defines = dict(OPTIONS, **ISA[isa], CMAKE_CXX_FLAGS=f'-include "{fix}"')
    with open(folder / "build.log", "w") as log:
        for command in (["cmake", "-S", str(source), "-B", str(folder)] + [f"-D{k}={v}" for k, v in defines.items()],
                        ["cmake", "--build", str(folder), "-j", str(jobs), "--target", *PROGRAMS]):
            try:
                status = subprocess.call(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            except FileNotFoundError:
                raise Problem("cmake: not found; apt-get install cmake g++ make, or give built programs with --llama-bin") from None
            if status:
                raise Problem(f"{folder}/build.log: llama.cpp did not build; read its end, or give built programs with --llama-bin")
    return programs


class LlamaCpp:
    """The programs in one folder, at settings that suit them: weights in memory of their own, flash attention as told."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for program in PROGRAMS:
            if not os.access(self.folder / program, os.X_OK):
                raise Problem(f"{self.folder}/{program}: not found; build llama.cpp's targets {', '.join(PROGRAMS)}, "
                              "or give --llama-source")
        new = "--load-mode" in run([self.folder / "llama-bench", "--help"])  # the older flag is --mmap
        self.in_memory = {"llama-bench": ["-lm", "none"] if new else ["-mmp", "0"],
                          "llama-batched-bench": ["-lm", "none"] if new else ["--no-mmap"]}

    def about(self):
        """Which llama.cpp, by which compiler."""
        done = subprocess.run([self.folder / "llama-server", "--version"], capture_output=True, text=True, errors="replace")
        return " ".join((done.stdout + done.stderr).split())

    def rate(self, model, prompt, generated, depth, threads, repetitions, attention):
        """Median tokens/s of one sequence."""
        rows = json.loads(run([self.folder / "llama-bench", "-m", model, "-p", prompt, "-n", generated, "-d", depth, "-t", threads,
                               "-r", repetitions, "-fa", int(attention), *self.in_memory["llama-bench"], "-o", "json"]))
        return [statistics.median(rows[0]["samples_ts"])]

    def many(self, model, sequences, prompt, generated, threads, attention):
        """Tokens written per second by `sequences` at a time: of the whole, prompts included, and of the steps after them."""
        out = run([self.folder / "llama-batched-bench", "-m", model, "-npp", prompt, "-ntg", generated, "-npl", sequences,
                   "-c", sequences * (prompt + generated), "-t", threads, "-fa", "on" if attention else "off",
                   *self.in_memory["llama-batched-bench"], "--output-format", "jsonl"])
        found = re.search(r"^\{.*\}$", out, re.MULTILINE)
        if not found:
            raise Problem(f"{self.folder}/llama-batched-bench: printed no result; run it by hand")
        row = json.loads(found.group())
        return [sequences * generated / row["t"], row["speed_tg"]]

    def start(self, model, threads, context):
        port = free_port()
        command = [self.folder / "llama-server", "-m", model, "--host", "127.0.0.1", "--port", port, "-t", threads, "-c", context,
                   "-np", 1, "--no-warmup", "-fit", "off"]
        return Server([str(c) for c in command], port)

    def first_token(self, model, prompt, threads):
        """Seconds from the start of the server's process to the first token after `prompt`."""
        begin = time.monotonic()
        with self.start(model, threads, 512) as server:
            with server.ask({"prompt": prompt, "n_predict": 2, "temperature": 0, "stream": True}) as answer:
                while not answer.readline().startswith(b"data: "):
                    pass
            return [time.monotonic() - begin]

    def next_token(self, model, ids, threads, most):
        """{token id: log-probability} of the `most` likely tokens after `ids`."""
        with self.start(model, threads, 512) as server:
            with server.ask({"prompt": ids, "n_predict": 1, "n_probs": most, "temperature": 0}) as answer:
                found = json.load(answer)
        return {t["id"]: t["logprob"] for t in found["completion_probabilities"][0]["top_logprobs"]}

    def prompt_tokens(self, model, prompt):
        with self.start(model, 1, 512) as server:
            with server.ask({"content": prompt}, "/tokenize") as answer:
                return len(json.load(answer)["tokens"])


class Server:
    """llama-server as a child process that is up inside the with block, and gone after it."""

    def __init__(self, command, port):
        self.command, self.address = command, f"http://127.0.0.1:{port}"

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait_until_ready(self, limit=120):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Problem(f"{' '.join(self.command)}: ended with {self.process.returncode} before it was ready; run it by hand")
            try:
                with OPENER.open(self.address + "/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:  # not listening, or still loading
                time.sleep(0.002)
        raise Problem(f"{' '.join(self.command)}: not ready after {limit} s; run it by hand")

    def ask(self, body, path="/completion"):
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            return OPENER.open(request, timeout=600)
        except OSError as e:
            raise Problem(f"llama-server: {path}: {e}; run it by hand: {' '.join(self.command)}") from None
