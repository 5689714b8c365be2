#!/usr/bin/env python3
"""Makes golden.safetensors of a checkpoint in tests/data/hf: what an independent implementation says of its prompt.

A development aid, not a part of atom. Needs PyTorch, transformers (5.17 made what lies here) and safetensors.

  python3 tests/data/golden.py tests/data/hf/glm4_moe

The model runs in float32 on its bf16 weights, over `input_ids` (T,) of the file that is there or, if none is, tokens at random:
  logits (T, V)          of every position; a file's logits_w, of stored quantised weights, stay
  greedy_ids (24,)       the most likely continuation
  router_margin (T,)     of a mixture: the least distance, over all layers, of the last expert (or group) chosen to the first that
                         was not, in logits. Where it is small, rounding decides which expert a row goes to
  norm_ratio (T,)        of gated delta nets: the least, over layers and heads, of an answer to the median of its head's, as root
                         mean squares. The norm behind makes as much of one that is nearly nothing, and of its rounding
  mtp_logits (T - 1, V)  of the layer behind the last, which transformers leaves out: its block is the model's own class of layer.
                         Row i is made of the model's final hidden state i, behind the norm, and token i + 1
  mtp_margin (T - 1,)    as router_margin, of that layer
  mtp_states (T - 1, H)  what it is given of those hidden states, behind its own norm of them

With --bf16 nothing is written: it says how far transformers in bf16 is from the golden, over rows whose router_margin is above 0.02
and norm_ratio above 0.08, and what becomes in float of a relative error of 1.6e-2 in the states that the drafting layer is given.
"""
import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def load(path, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()
    return model.float() if dtype == torch.float32 else model


def margin(router, x, config):
    """x: (T, H), as the router takes it."""
    logits = torch.nn.functional.linear(x.float(), router.weight.float(), getattr(router, "bias", None))
    bias = getattr(router, "e_score_correction_bias", None)
    values = logits if bias is None else logits.sigmoid() + bias
    scale = 1 if bias is None else 4  # a sigmoid moves by a quarter of what its logit does, or less
    top_k, groups = config.num_experts_per_tok, getattr(config, "n_group", None) or 1
    least = torch.full(x.shape[:1], float("inf"))

    def between(sorted_values, chosen):
        nonlocal least
        if sorted_values.shape[-1] > chosen:
            least = torch.minimum(least, scale * (sorted_values[:, chosen - 1] - sorted_values[:, chosen]))

    if groups > 1:
        each = values.view(len(x), groups, -1)
        best = each.amax(-1) if bias is None else each.topk(2, -1).values.sum(-1)
        order = best.sort(descending=True)
        between(order.values, config.topk_group)
        out = torch.ones_like(best).scatter(1, order.indices[:, : config.topk_group], 0).bool()
        values = each.masked_fill(out[..., None], float("-inf")).flatten(1)
    between(values.sort(descending=True).values, top_k)
    return least


class Margins:
    """Of all routers below a module, while it runs."""

    def __init__(self, module, rows, config):
        self.least = torch.full((rows,), float("inf"))
        for m in module.modules():
            if "router" in type(m).__name__.lower():
                m.register_forward_pre_hook(
                    lambda m, args: setattr(self, "least", torch.minimum(self.least, margin(m, args[0].flatten(0, -2), config))))


class Ratios:
    """Of all answers that gated norms take, while a model runs."""

    def __init__(self, model, rows):
        self.least = torch.full((rows,), float("inf"))
        for name, m in model.named_modules():
            if name.endswith("linear_attn.norm"):
                m.register_forward_pre_hook(self.take)

    def take(self, norm, args):
        size = args[0].reshape(len(self.least), -1, norm.weight.numel()).pow(2).mean(-1).sqrt()  # (T, heads)
        self.least = torch.minimum(self.least, (size / size.median(0).values).amin(1))


def draft(path, model, ids, hidden):
    """What the layer behind the last says."""
    config, base, rows = model.config, model.model, len(ids) - 1
    behind = f"model.layers.{config.num_hidden_layers}."
    tensors = load_file(path + "/model.safetensors")
    weights = {k.removeprefix(behind): v.to(model.dtype) for k, v in tensors.items() if k.startswith(behind)}
    for fused, parts in (("gate_up_proj", ("gate_proj", "up_proj")), ("down_proj", ("down_proj",))):
        experts = [torch.cat([weights.pop(f"mlp.experts.{e}.{p}.weight") for p in parts]) for e in range(config.n_routed_experts)
                   if f"mlp.experts.{e}.{parts[0]}.weight" in weights]
        if experts:
            weights["mlp.experts." + fused] = torch.stack(experts)
    eh_proj = weights.pop("eh_proj.weight")
    norms = {}
    for name in ("enorm", "hnorm", "shared_head.norm"):
        norms[name] = type(base.norm)(config.hidden_size, eps=config.rms_norm_eps).to(model.dtype)
        norms[name].load_state_dict({"weight": weights.pop(name + ".weight")})
    for name in ("embed_tokens", "shared_head.head"):
        weights.pop(name + ".weight", None)
    block = type(base.layers[-1])(config, len(base.layers)).to(model.dtype).eval()
    block.load_state_dict(weights)
    block.mlp.gate.e_score_correction_bias = tensors[behind + "mlp.gate.e_score_correction_bias"]  # float, as in the model
    block.self_attn.config._attn_implementation = "eager"
    watched = Margins(block, rows, config)
    states = norms["hnorm"](hidden[:-1])
    x = torch.nn.functional.linear(torch.cat([norms["enorm"](base.embed_tokens(ids[1:])), states], -1), eh_proj)[None]
    places = torch.arange(rows)[None]
    mask = torch.full((rows, rows), float("-inf")).triu(1)[None, None]
    y = block(x, attention_mask=mask, position_ids=places, position_embeddings=base.rotary_emb(x, position_ids=places))
    y = y[0] if isinstance(y, tuple) else y
    return {"mtp_logits": model.lm_head(norms["shared_head.norm"](y))[0], "mtp_margin": watched.least, "mtp_states": states}


def compare(what, got, want, sure):
    each = (got.float() - want).norm(dim=-1)[sure] / want.norm(dim=-1)[sure]
    all_of_them = ((got.float() - want)[sure].norm() / want[sure].norm()).item()
    above = f"{sum(each > 0.02)} of {len(each)} rows above 0.02"
    print(f"  {what}: relative L2 {all_of_them:.4f}, median row {each.median():.4f}, {above}")


@torch.no_grad()
def distance(path):
    golden = load_file(path + "/golden.safetensors")
    ids = golden["input_ids"]
    sure = torch.ones(len(ids), dtype=torch.bool)
    for name, least in (("router_margin", 0.02), ("norm_ratio", 0.08)):
        if name in golden:
            sure &= golden[name] >= least
    model = load(path, torch.bfloat16)
    out = model(ids[None], output_hidden_states=True)
    compare("the model in bf16", out.logits[0], golden["logits"], sure)
    if "mtp_logits" in golden:
        both, want = sure[:-1] & (golden["mtp_margin"] >= 0.02), golden["mtp_logits"]
        compare("the layer behind it", draft(path, model, ids, out.hidden_states[-1][0])["mtp_logits"], want, both)
        model = load(path)
        states = model(ids[None], output_hidden_states=True).hidden_states[-1][0]
        noise = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
        noise *= 1.6e-2 * states.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
        compare("the layer in float, its states off by 1.6e-2", draft(path, model, ids, states + noise)["mtp_logits"], want, both)


@torch.no_grad()
def main(path):
    raw = json.load(open(path + "/config.json"))
    try:
        golden = load_file(path + "/golden.safetensors")
    except FileNotFoundError:
        golden = {"input_ids": torch.randint(3, raw["vocab_size"], (70,), generator=torch.Generator().manual_seed(1))}
    ids = golden["input_ids"]
    model = load(path)
    watched, ratios = Margins(model, len(ids), model.config), Ratios(model, len(ids))
    out = model(ids[None], output_hidden_states=True)
    made = {"input_ids": ids}
    if "logits_w" in golden:
        print("logits_w differ by", (golden["logits_w"] - out.logits[0]).abs().max().item())
        made["logits_w"] = golden["logits_w"]
    else:
        made["logits"] = out.logits[0]
    if torch.isfinite(watched.least).any():
        made["router_margin"] = watched.least.clone()
    if torch.isfinite(ratios.least).any():
        made["norm_ratio"] = ratios.least.clone()
    if raw.get("num_nextn_predict_layers", 0):
        made |= draft(path, model, ids, out.hidden_states[-1][0])
    text = ids
    for _ in range(24):
        text = torch.cat([text, likeliest(model, text)])
    made["greedy_ids"] = text[len(ids):]
    for name, old in golden.items():
        if name in made and made[name].shape == old.shape:
            print(name, "differs by", (made[name].float() - old.float()).abs().max().item())
    save_file({k: v.contiguous() for k, v in sorted(made.items())}, path + "/golden.safetensors", metadata={"format": "pt"})


def likeliest(model, text):
    for m in model.modules():
        m._forward_pre_hooks.clear()
    return model(text[None]).logits[0, -1:].argmax(-1)


for folder in sys.argv[1:]:
    if folder == "--bf16":
        main = distance
        continue
    print(folder)
    main(folder.rstrip("/"))
