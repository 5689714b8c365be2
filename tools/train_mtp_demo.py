#!/usr/bin/env python3
"""Makes models/mtp-demo: a DeepSeek-V3 of 5 million parameters whose drafting layer is worth asking.

A development aid, not a part of atom. Needs PyTorch, numpy and safetensors; minutes on a large GPU.

  python3 tools/train_mtp_demo.py --teacher models/demo --out models/mtp-demo
  python3 tools/train_mtp_demo.py --teacher models/demo --out /tmp/try --stories 8 --length 24 --batch 4 --steps 3   # any CPU

There is no text to learn from but what models/demo tells: stories are sampled from it, and the student learns the probabilities that
the teacher gives to every next token (main model), and to the one behind it (drafting layer). The drafting layer is also run on its
own states, as it is when it drafts several tokens. Seeds are fixed; --sample-seconds and --seconds cut the work to a machine's pace,
without them a run repeats. What the last lines print of agreement is teacher-forced: how often the draft is what the model itself
would choose there.
"""
import argparse
import json
import math
import os
import shutil
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

VOCAB, END = 4096, 0
TEMPERATURE, TOP_P, TOP_K = 0.8, 0.95, 64  # of the stories
CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 0,
    "dtype": "bfloat16",
    "eos_token_id": 2,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 256,
    "intermediate_size": 384,
    "kv_lora_rank": 512,
    "max_position_embeddings": 2048,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 64,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 2,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 96,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_interleave": True,
    "rope_theta": 10000.0,
    "routed_scaling_factor": 1.0,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": True,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "v_head_dim": 128,
    "vocab_size": VOCAB,
}


def rms(x, weight, eps=1e-6):
    h = x.float()
    return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight.to(x.dtype)


def angles(positions, dim, theta=10000.0):
    a = positions.float()[:, None] / theta ** (torch.arange(0, dim, 2, device=positions.device) / dim)
    return a.cos(), a.sin()  # (positions, dim / 2)


# ---- The teacher: Qwen3, forward only, with a cache while it tells stories. --------------------------------------------------------


class Teacher:
    def __init__(self, folder, device, dtype):
        self.config = json.load(open(os.path.join(folder, "config.json")))
        files = set(json.load(open(os.path.join(folder, "model.safetensors.index.json")))["weight_map"].values())
        self.w = {k: v.to(device, dtype) for f in sorted(files) for k, v in load_file(os.path.join(folder, f)).items()}
        self.heads, self.dim = self.config["num_attention_heads"], self.config["head_dim"]
        assert self.config["num_key_value_heads"] == 1 and self.config["tie_word_embeddings"]
        self.device, self.dtype = device, dtype

    def rotate(self, x, cos, sin):  # (..., positions, dim): channel i with channel i + dim / 2
        a, b = x.float().chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)

    def logits(self, tokens, cache=None, at=0):
        """tokens: (batch, length), which stand at positions at, at + 1... Returns (batch, length, vocab)."""
        n, length = tokens.shape
        cos, sin = angles(torch.arange(at, at + length, device=self.device), self.dim, self.config["rope_parameters"]["rope_theta"])
        h = self.w["model.embed_tokens.weight"][tokens]
        for i in range(self.config["num_hidden_layers"]):
            w = lambda name: self.w[f"model.layers.{i}.{name}.weight"]
            x = rms(h, w("input_layernorm"))
            q = rms(F.linear(x, w("self_attn.q_proj")).view(n, length, self.heads, self.dim), w("self_attn.q_norm"))
            k = rms(F.linear(x, w("self_attn.k_proj")).view(n, length, 1, self.dim), w("self_attn.k_norm"))
            v = F.linear(x, w("self_attn.v_proj")).view(n, length, 1, self.dim)
            q, k, v = self.rotate(q.transpose(1, 2), cos, sin), self.rotate(k.transpose(1, 2), cos, sin), v.transpose(1, 2)
            if cache is None:
                a = F.scaled_dot_product_attention(q, k.expand_as(q), v.expand_as(q), is_causal=True)
            else:  # one new token: the heads are so many queries of the only head of keys
                cache[i, 0, :, at], cache[i, 1, :, at] = k[:, 0, 0], v[:, 0, 0]
                k, v = cache[i, 0, :, None, : at + 1], cache[i, 1, :, None, : at + 1]
                a = F.scaled_dot_product_attention(q.transpose(1, 2), k, v).transpose(1, 2)
            h = h + F.linear(a.transpose(1, 2).reshape(n, length, -1), w("self_attn.o_proj"))
            x = rms(h, w("post_attention_layernorm"))
            h = h + F.linear(F.silu(F.linear(x, w("mlp.gate_proj"))) * F.linear(x, w("mlp.up_proj")), w("mlp.down_proj"))
        return F.linear(rms(h, self.w["model.norm.weight"]), self.w["model.embed_tokens.weight"])

    @torch.no_grad()
    def tell(self, stories, length, generator):
        """(stories, length) tokens. Each begins behind the end of a text; every other one with a word of chance, for variety."""
        tokens = torch.full((stories, length), END, dtype=torch.long, device=self.device)
        tokens[::2, 1] = torch.randint(3, VOCAB, ((stories + 1) // 2,), generator=generator, device=self.device)
        layers = self.config["num_hidden_layers"]
        cache = torch.zeros(layers, 2, stories, length, self.dim, device=self.device, dtype=self.dtype)
        for at in range(length - 1):
            logits = self.logits(tokens[:, at : at + 1], cache, at)[:, 0].float()
            values, ids = (logits / TEMPERATURE).topk(TOP_K)
            p = values.softmax(-1)
            p[p.cumsum(-1) - p > TOP_P] = 0
            drawn = ids.gather(1, p.multinomial(1, generator=generator))[:, 0]
            if at == 0:
                drawn[::2] = tokens[::2, 1]
            tokens[:, at + 1] = drawn
        return tokens.to(torch.int16)


# ---- The student, which reads like the paper: https://arxiv.org/abs/2412.19437 -------------------------------------------------------


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms(x, self.weight)


def linear(rows, cols, gain=1.0):
    module = nn.Linear(cols, rows, bias=False)
    nn.init.normal_(module.weight, std=gain / math.sqrt(cols))
    return module


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads, self.latent = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"]
        self.nope, self.rope, self.value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
        self.q_a_proj = linear(c["q_lora_rank"], d)
        self.q_a_layernorm = Norm(c["q_lora_rank"])
        self.q_b_proj = linear(self.heads * (self.nope + self.rope), c["q_lora_rank"])
        self.kv_a_proj_with_mqa = linear(self.latent + self.rope, d)
        self.kv_a_layernorm = Norm(self.latent)
        self.kv_b_proj = linear(self.heads * (self.nope + self.value), self.latent)
        self.o_proj = linear(d, self.heads * self.value, 0.5)

    def rotate(self, x, cos, sin):  # (batch, heads, positions, rope): neighbouring channels
        a, b = x.float()[..., ::2], x.float()[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)

    def forward(self, x, cos, sin):
        n, length, _ = x.shape
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))).view(n, length, self.heads, -1).transpose(1, 2)
        c, k_pe = self.kv_a_proj_with_mqa(x).split([self.latent, self.rope], -1)
        kv = self.kv_b_proj(self.kv_a_layernorm(c)).view(n, length, self.heads, -1).transpose(1, 2)
        k, v = kv.split([self.nope, self.value], -1)
        k_pe = self.rotate(k_pe[:, None], cos, sin).expand(-1, self.heads, -1, -1)
        q = torch.cat([q[..., : self.nope], self.rotate(q[..., self.nope :], cos, sin)], -1)
        k = torch.cat([k, k_pe.to(k.dtype)], -1)
        v = F.pad(v, (0, self.rope))  # as wide as keys: the fast kernels want that
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)[..., : self.value]
        return self.o_proj(a.transpose(1, 2).reshape(n, length, -1))


class Mlp(nn.Module):
    def __init__(self, d, ff):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(ff, d), linear(ff, d), linear(d, ff, 0.5)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c["n_routed_experts"], c["hidden_size"]) / math.sqrt(c["hidden_size"]))
        self.register_buffer("e_score_correction_bias", torch.zeros(c["n_routed_experts"]))
        self.top_k, self.scale = c["num_experts_per_tok"], c["routed_scaling_factor"]

    def forward(self, x):
        """(..., experts): weights, of those that are not chosen 0. While it trains, the bias moves towards equal loads."""
        with torch.autocast(x.device.type, enabled=False):
            s = F.linear(x.float(), self.weight.float()).sigmoid()
        chosen = (s + self.e_score_correction_bias).topk(self.top_k, -1).indices
        taken = torch.zeros_like(s).scatter(-1, chosen, 1.0)
        if self.training:
            load = taken.flatten(0, -2).mean(0)
            self.e_score_correction_bias += 1e-3 * (load.mean() - load).sign()
        s = s * taken
        return s / (s.sum(-1, keepdim=True) + 1e-20) * self.scale


class Mixture(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, ff = c["hidden_size"], c["moe_intermediate_size"]
        self.gate = Gate(c)
        self.experts = nn.ModuleList(Mlp(d, ff) for _ in range(c["n_routed_experts"]))
        self.shared_experts = Mlp(d, ff * c["n_shared_experts"])

    def forward(self, x):  # all experts of all rows: they are few and narrow
        weights = self.gate(x)
        gate = torch.cat([e.gate_proj.weight for e in self.experts])
        up = torch.cat([e.up_proj.weight for e in self.experts])
        down = torch.cat([e.down_proj.weight for e in self.experts], 1)
        h = (F.silu(F.linear(x, gate)) * F.linear(x, up)).unflatten(-1, (len(self.experts), -1))
        return self.shared_experts(x) + F.linear((h * weights[..., None].to(h.dtype)).flatten(-2), down)


class Layer(nn.Module):
    def __init__(self, c, dense):
        super().__init__()
        d = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = Norm(d), Norm(d)
        self.self_attn = Attention(c)
        self.mlp = Mlp(d, c["intermediate_size"]) if dense else Mixture(c)

    def forward(self, h, cos, sin):
        h = h + self.self_attn(self.input_layernorm(h), cos, sin)
        return h + self.mlp(self.post_attention_layernorm(h))


class Drafter(Layer):
    def __init__(self, c):
        super().__init__(c, dense=False)
        d = c["hidden_size"]
        self.enorm, self.hnorm, self.eh_proj = Norm(d), Norm(d), linear(d, 2 * d)
        self.shared_head = nn.ModuleDict({"norm": Norm(d)})

    def forward(self, hidden, embedded, cos, sin):
        x = self.eh_proj(torch.cat([self.enorm(embedded), self.hnorm(hidden)], -1))
        return self.shared_head["norm"](super().forward(x, cos, sin))


class Student(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["hidden_size"]
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab_size"], d)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.02)
        layers = [Layer(c, i < c["first_k_dense_replace"]) for i in range(c["num_hidden_layers"])]
        self.model.layers = nn.ModuleList(layers + [Drafter(c)])
        self.model.norm = Norm(d)

    def head(self, hidden):
        return F.linear(hidden, self.model.embed_tokens.weight)

    def states(self, tokens, depth):
        """[h, h']...: final states of positions 0, 1... as the model has them, then as the drafting layer has them of its own or of
        the states before, `depth` times. Row p of the j-th has seen tokens up to p + j, and predicts p + j + 1."""
        cos, sin = angles(torch.arange(tokens.shape[1], device=tokens.device), self.c["qk_rope_head_dim"], self.c["rope_theta"])
        h = embedded = self.model.embed_tokens(tokens)
        for layer in self.model.layers[:-1]:
            h = layer(h, cos, sin)
        all_states = [self.model.norm(h)]
        for j in range(1, depth + 1):
            rows = tokens.shape[1] - j
            all_states.append(self.model.layers[-1](all_states[-1][:, :rows], embedded[:, j:], cos[:rows], sin[:rows]))
        return all_states


# ---- Training ------------------------------------------------------------------------------------------------------------------------


def train(student, teacher, stories, a, device):
    matrices = [p for p in student.parameters() if p.ndim > 1]
    vectors = [p for p in student.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=a.rate, betas=(0.9, 0.95))
    order, start, student_weights = torch.Generator().manual_seed(2), time.time(), [1.0, 0.5, 0.25][: 1 + a.depth]
    student.train()
    rows, step = torch.empty(0, dtype=torch.long), 0
    while True:
        done = max(step / a.steps, (time.time() - start) / a.seconds if a.seconds else 0)
        if done >= 1:
            return
        for group in optimizer.param_groups:
            group["lr"] = a.rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        if len(rows) < a.batch:
            rows = torch.randperm(len(stories), generator=order)
        batch, rows = stories[rows[: a.batch].to(stories.device)].to(device).long(), rows[a.batch :]
        with torch.autocast(device, dtype=torch.bfloat16):
            with torch.no_grad():
                target = (teacher.logits(batch).float() / TEMPERATURE).softmax(-1)  # of the stories that it tells
            losses = []
            for j, h in enumerate(student.states(batch, a.depth)):
                logp = student.head(h).float().log_softmax(-1)
                losses.append(-(target[:, j:] * logp).sum(-1).mean())
            loss = sum(w * l for w, l in zip(student_weights, losses))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % max(1, min(200, a.steps // 3)) == 0:
            said = ", ".join(f"{l.item():.3f}" for l in losses)
            print(f"step {step}: loss of the next token, the one behind...: {said}; {time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def agreement(student, tokens, depth, what):
    """How often a draft is the model's own choice at its place, where the text so far is given."""
    student.eval()
    choices = [student.head(h).argmax(-1) for h in student.states(tokens, depth)]
    shares = [c == choices[0][:, j:] for j, c in enumerate(choices) if j > 0]
    said = ", ".join(f"{s.float().mean().item():.3f}" for s in shares)
    print(f"{what}: draft equals the model's choice: {said} (drafts of drafts behind); "
          f"model's choice is the text: {(choices[0][:, :-1] == tokens[:, 1:]).float().mean().item():.3f}", flush=True)


@torch.no_grad()
def greedy(student, tokens, count):
    for _ in range(count):
        choice = student.head(student.states(tokens, 0)[0][:, -1:]).argmax(-1)
        tokens = torch.cat([tokens, choice], 1)
    return tokens


def save(student, a, stories):
    """The checkpoint, and what this script's float32 arithmetic on the rounded weights makes of a beginning."""
    os.makedirs(a.out, exist_ok=True)
    tensors = {}
    for name, value in student.state_dict().items():
        is_bias = name.endswith("e_score_correction_bias")
        tensors[name] = value.detach().cpu().float().contiguous() if is_bias else value.detach().cpu().bfloat16().contiguous()
    save_file(tensors, os.path.join(a.out, "model.safetensors"), metadata={"format": "pt"})
    json.dump(CONFIG, open(os.path.join(a.out, "config.json"), "w"), indent=2)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(a.teacher, name), a.out)
    with torch.no_grad():
        for name, value in student.state_dict().items():
            if not name.endswith("e_score_correction_bias"):
                value.copy_(value.bfloat16().float())
    student.cpu().eval()
    golden = {}
    for i in range(3):
        start = stories[-1 - i : len(stories) - i, : min(12, a.length - 2)].cpu().long()
        text = greedy(student, start, a.golden)
        main, draft = student.states(text, 1)
        golden[f"greedy_{i}"] = text[0]  # the first 12 are given
        golden[f"draft_{i}"] = student.head(draft)[0].argmax(-1)  # behind tokens p and p + 1
        values = student.head(main)[0].topk(2).values
        print(f"golden {i}: closest choice of the model {(values[:, 0] - values[:, 1])[11:-1].min().item():.4f}")
    save_file(golden, os.path.join(a.out, "golden.safetensors"))
    count = sum(v.numel() for v in tensors.values())
    size = sum(os.path.getsize(os.path.join(a.out, f)) for f in os.listdir(a.out))
    print(f"{count} parameters, {size} bytes in {a.out}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--teacher", required=True, help="models/demo")
    p.add_argument("--out", required=True, help="folder of the checkpoint")
    p.add_argument("--stories", type=int, default=131072, help="sampled from the teacher")
    p.add_argument("--length", type=int, default=512, help="tokens of each")
    p.add_argument("--at-once", type=int, default=16384, help="stories sampled side by side")
    p.add_argument("--batch", type=int, default=64, help="stories per step")
    p.add_argument("--steps", type=int, default=8000)
    p.add_argument("--rate", type=float, default=3e-3, help="of learning")
    p.add_argument("--depth", type=int, default=2, help="drafts of drafts that are trained")
    p.add_argument("--golden", type=int, default=48, help="tokens that golden.safetensors continues a text by")
    p.add_argument("--sample-seconds", type=float, default=0, help="sampling ends early, 0: when it is done")
    p.add_argument("--seconds", type=float, default=0, help="training ends by then, 0: when it is done")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = p.parse_args()
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    teacher = Teacher(a.teacher, a.device, torch.bfloat16)
    generator, start, told = torch.Generator(a.device).manual_seed(1), time.time(), []
    while sum(map(len, told)) < a.stories and not (told and a.sample_seconds and time.time() - start > a.sample_seconds):
        told.append(teacher.tell(min(a.at_once, a.stories - sum(map(len, told))), a.length, generator))
        print(f"{sum(map(len, told))} stories of {a.length} tokens; {time.time() - start:.0f} s", flush=True)
    stories = torch.cat(told)
    held = max(3, min(64, len(stories) // 16))
    student = Student(CONFIG).to(a.device)
    print(f"{sum(q.numel() for q in student.parameters())} parameters", flush=True)
    train(student, teacher, stories[:-held], a, a.device)
    with torch.autocast(a.device, dtype=torch.bfloat16):
        agreement(student, stories[-held:].to(a.device).long(), 3, "held back")
    save(student, a, stories)


if __name__ == "__main__":
    main()
