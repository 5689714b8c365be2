#!/usr/bin/env python3
"""atom beside PyTorch on the same GPU in the same run: linear layers, attention of answers, sampling, and whole steps of answers.

usage: bench/gpu/compare.py --times build/cuda/bin/gpu_times [--atom build/cuda/bin/atom] [--parts linear,attention,sample,step]
                            [--json FILE]

Kernels: gpu_times says which shapes it timed and how long each took; PyTorch then does the same on data of the same sizes, in a
recorded graph, over copies that are together larger than the cache. The rival is the best of what it offers: for linear layers
F.linear (cuBLASLt), for attention every SDPA back end over contiguous caches (atom's are paged), for sampling its own operators.
Steps (with --atom): `atom bench` beside a compiled layer called for every layer, its caches contiguous, all in one graph, with a
greedy token. Ratios are the rival's time over atom's: above 1, atom is faster. Figures of compute-bound rows move by several per
cent with the chip's temperature; their ratios move less.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

ROTATION = 200 << 20  # bytes: several caches


def microseconds(calls, replays=20):
    """Median over replays of one graph of all calls, for one of them."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls[:2]:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        kept = [call() for call in calls]
    graph.replay()
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(replays):
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / len(calls))
    del kept
    return statistics.median(times)


def copies(size):
    return max(4, min(64, ROTATION // size))


def random(*shape, dtype=torch.bfloat16, scale=1.0):
    return (torch.randn(*shape, device="cuda") * scale).to(dtype)


def linear(rows, out, width):
    x = random(rows, width)
    weights = [random(out, width, scale=0.02) for _ in range(copies(2 * out * width))]
    return {"F.linear": microseconds([lambda w=w: F.linear(x, w) for w in weights])}


def attention(seqs, context, heads, kv_heads, dim=128):
    q = random(seqs, heads, 1, dim)
    caches = [(random(seqs, kv_heads, context, dim), random(seqs, kv_heads, context, dim))
              for _ in range(copies(4 * seqs * kv_heads * context * dim))]
    found = {}
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        try:
            with sdpa_kernel(backend):
                found[backend.name] = microseconds(
                    [lambda k=k, v=v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True) for k, v in caches])
        except RuntimeError as e:
            print(f"{backend.name}: {str(e).splitlines()[0]}", file=sys.stderr)
    return found


def drawn(logits):
    """A token of each row, by its softmax, without one."""
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1, keepdim=True)


def top_k(logits, k=50, p=1.0):
    values, ids = logits.topk(k)
    return ids.gather(-1, drawn(values if p == 1 else prefix(values, p)))


def prefix(values, p):
    """Of sorted logits, those before which less than p lies."""
    chances = values.softmax(-1)
    return values.masked_fill(chances.cumsum(-1) - chances >= p, -torch.inf)


def top_p(logits, p=0.9):
    values, ids = logits.sort(dim=-1, descending=True)
    return ids.gather(-1, drawn(prefix(values, p)))


def min_p(logits, p=0.05):
    chances = logits.softmax(-1)
    return drawn(logits.masked_fill(chances < p * chances.amax(-1, keepdim=True), -torch.inf))


SAMPLERS = {
    "greedy": lambda x: x.argmax(-1),
    "plain": drawn,
    "top k": top_k,
    "top p": top_p,
    "min p": min_p,
    "top k, top p": lambda x: top_k(x, 50, 0.9),
    "hot, top p": lambda x: top_p(x / 5),
}


def sample(rows, vocab, how):
    logits = random(rows, vocab, dtype=torch.float32, scale=2)
    return {"torch": microseconds([lambda: SAMPLERS[how](logits)] * 4)}


def norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-6)


def layer(h, w, cos, sin, k_cache, v_cache, at, heads, kv_heads, dim):
    """One token of every sequence through a Qwen3 layer; the caches hold what came before and have room for it."""
    rows = h.shape[0]
    q, k, v = F.linear(norm(h, w["norm1"]), w["qkv"]).split((heads * dim, kv_heads * dim, kv_heads * dim), -1)
    q, k = norm(q.view(rows, heads, dim), w["q_norm"]), norm(k.view(rows, kv_heads, dim), w["k_norm"])

    def rotated(x):
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
    k_cache[:, :, at] = rotated(k)
    v_cache[:, :, at] = v.view(rows, kv_heads, dim)
    o = F.scaled_dot_product_attention(rotated(q).unsqueeze(2), k_cache, v_cache, enable_gqa=True)
    h = h + F.linear(o.reshape(rows, heads * dim), w["o"])
    gate, up = F.linear(norm(h, w["norm2"]), w["gate_up"]).chunk(2, -1)
    return h + F.linear(F.silu(gate) * up, w["down"])


def step(config, rows, depth, mode):
    width, inner, heads, kv_heads = (config[n] for n in (
        "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"))
    dim, vocab, layers = config["head_dim"], config["vocab_size"], config["num_hidden_layers"]
    ones = torch.ones(width, device="cuda", dtype=torch.bfloat16)
    made = [{
        "norm1": ones, "norm2": ones, "q_norm": ones[:dim], "k_norm": ones[:dim],
        "qkv": random((heads + 2 * kv_heads) * dim, width, scale=0.02), "o": random(width, heads * dim, scale=0.02),
        "gate_up": random(2 * inner, width, scale=0.02), "down": random(width, inner, scale=0.02)} for _ in range(layers)]
    caches = [(random(rows, kv_heads, depth + 1, dim), random(rows, kv_heads, depth + 1, dim)) for _ in made]
    table, tokens = random(vocab, width, scale=0.02), torch.zeros(rows, device="cuda", dtype=torch.long)
    angle = random(dim // 2)
    cos, sin = angle.cos(), angle.sin()
    torch._dynamo.reset()
    compiled = torch.compile(layer, mode=mode, fullgraph=True, dynamic=False)

    def whole():
        h = table[tokens]
        for w, (k, v) in zip(made, caches):
            h = compiled(h, w, cos, sin, k, v, depth, heads, kv_heads, dim)
        tokens.copy_(F.linear(norm(h, ones), table).argmax(-1))
    with torch.no_grad():
        whole()
        return microseconds([whole] * 2)


def atom_step(program, model, rows, depth):
    command = [program, "bench", "--backend", "hip", "--model", model, "--load-dummy", "-o", "json"]
    if rows == 1:
        found = subprocess.run([*command, "-p", "0", "-n", "64", "-d", str(depth)], check=True, capture_output=True, text=True).stdout
        return 1e6 / json.loads(found)[0]["median"]
    prompt = depth - 32  # the median step is at this depth
    flags = ["-c", rows, "--requests", rows, "--input-len", f"{prompt},{prompt}", "--output-len", "64,64", "--max-num-batched-tokens",
             8192, "--max-num-seqs", rows, "--max-model-len", depth + 128, "--temperature", 0]
    command[2:2] = ["engine"]
    found = subprocess.run([*command, *map(str, flags)], check=True, capture_output=True, text=True).stdout
    return json.loads(found)[0]["step"]["p50"] * 1e6  # of all steps, most are answers of all requests


def kernels(program, parts):
    """What gpu_times prints of kernels as a step runs them: not of one library or the other alone."""
    found = subprocess.run([program, "--json", *parts], check=True, capture_output=True, text=True).stdout
    return [row for row in map(json.loads, found.splitlines()) if not row["shape"].endswith((", own", ", vendor"))]


def rival_of(row):
    numbers = [int(n) for n in re.findall(r"\d+", row["shape"])]
    if row["kernel"].startswith("linear"):
        return linear(*numbers)
    if row["kernel"].startswith("paged_attention"):
        return attention(*numbers)
    return sample(*numbers[:2], row["shape"].split(", ", 1)[1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--times", required=True, help="the program gpu_times of a build with ATOM_GPU")
    p.add_argument("--atom", help="the program atom of that build, for steps")
    p.add_argument("--model", default="bench/engine/qwen3_0_6b", help="a folder with the config.json whose steps are timed")
    p.add_argument("--parts", default="linear,attention,sample,step")
    p.add_argument("--depth", type=int, default=1024, help="tokens before the step")
    p.add_argument("--autotune", action="store_true", help="compile steps with max-autotune too; a minute for each")
    p.add_argument("--json", help="a file for all figures")
    a = p.parse_args()
    parts = a.parts.split(",")
    torch.manual_seed(1)
    report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    print(f"{report['gpu']}, PyTorch {report['torch']}\n{'kernel':<28}{'shape':<34}{'atom us':>10}{'rival us':>10} {'':19}{'ratio':>6}")

    def say(kernel, shape, us, rivals):
        if not rivals:
            return
        name, rival = min(rivals.items(), key=lambda r: r[1])
        report["rows"].append({"kernel": kernel, "shape": shape, "atom_us": us, "rivals_us": rivals, "ratio": rival / us})
        print(f"{kernel:<28}{shape:<34}{us:>10.2f}{rival:>10.2f} {name:<19}{rival / us:>6.2f}", flush=True)

    chosen = [part for part in parts if part != "step"]
    for row in kernels(a.times, chosen) if chosen else []:
        say(row["kernel"], row["shape"], row["us"], rival_of(row))
        torch.cuda.empty_cache()
    if "step" in parts and a.atom:
        with open(f"{a.model}/config.json") as f:
            config = json.load(f)
        for rows in (1, 16, 64):
            modes = ["default", *(["max-autotune-no-cudagraphs"] if a.autotune else [])]
            rivals = {mode.removesuffix("-no-cudagraphs"): step(config, rows, a.depth, mode) for mode in modes}
            say("step", f"{rows} x 1 at {a.depth}", atom_step(a.atom, a.model, rows, a.depth), rivals)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()
