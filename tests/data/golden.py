#!/usr/bin/env python3
"""Makes golden.safetensors of a checkpoint in tests/data/hf: what an independent implementation says of its prompt.

A development aid, not a part of atom. Needs PyTorch, transformers (5.17 made what lies here) and safetensors.

  python3 tests/data/golden.py tests/data/hf/glm4_moe

The model runs in float32 on its bf16 weights, over `input_ids` (T,) of the file that is there or, if none is, tokens at random:
  logits (T, V)          of every position; a file's logits_w, of stored quantised weights, stay
  greedy_ids (24,)       the most likely continuation
  router_margin (T,)     of a mixture: the least distance, over all layers, of the last expert (or group) chosen to the first that
                         was not, in logits. Where it is small, rounding decides which expert a row goes to
  mtp_logits (T - 1, V)  of the layer behind the last, which transformers leaves out: its block is the model's own class of layer.
                         Row i is made of the model's final hidden state i, behind the norm, and token i + 1
  mtp_margin (T - 1,)    as router_margin, of that layer
  mtp_states (T - 1, H)  what it is given of those hidden states, behind its own norm of them
"""
import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").float().eval()


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


def draft(path, model, ids, hidden):
    """What the layer behind the last says."""
    config, base, rows = model.config, model.model, len(ids) - 1
    behind = f"model.layers.{config.num_hidden_layers}."
    weights = {k.removeprefix(behind): v.float() for k, v in load_file(path + "/model.safetensors").items() if k.startswith(behind)}
    for fused, parts in (("gate_up_proj", ("gate_proj", "up_proj")), ("down_proj", ("down_proj",))):
        experts = [torch.cat([weights.pop(f"mlp.experts.{e}.{p}.weight") for p in parts]) for e in range(config.n_routed_experts)
                   if f"mlp.experts.{e}.{parts[0]}.weight" in weights]
        if experts:
            weights["mlp.experts." + fused] = torch.stack(experts)
    eh_proj = weights.pop("eh_proj.weight")
    norms = {}
    for name in ("enorm", "hnorm", "shared_head.norm"):
        norms[name] = type(base.norm)(config.hidden_size, eps=config.rms_norm_eps)
        norms[name].load_state_dict({"weight": weights.pop(name + ".weight")})
    for name in ("embed_tokens", "shared_head.head"):
        weights.pop(name + ".weight", None)
    block = type(base.layers[-1])(config, len(base.layers)).eval()
    block.load_state_dict(weights)
    block.self_attn.config._attn_implementation = "eager"
    watched = Margins(block, rows, config)
    states = norms["hnorm"](hidden[:-1])
    x = torch.nn.functional.linear(torch.cat([norms["enorm"](base.embed_tokens(ids[1:])), states], -1), eh_proj)[None]
    places = torch.arange(rows)[None]
    mask = torch.full((rows, rows), float("-inf")).triu(1)[None, None]
    y = block(x, attention_mask=mask, position_ids=places, position_embeddings=base.rotary_emb(x, position_ids=places))
    y = y[0] if isinstance(y, tuple) else y
    return {"mtp_logits": model.lm_head(norms["shared_head.norm"](y))[0], "mtp_margin": watched.least, "mtp_states": states}


@torch.no_grad()
def main(path):
    raw = json.load(open(path + "/config.json"))
    try:
        golden = load_file(path + "/golden.safetensors")
    except FileNotFoundError:
        golden = {"input_ids": torch.randint(3, raw["vocab_size"], (70,), generator=torch.Generator().manual_seed(1))}
    ids = golden["input_ids"]
    model = load(path)
    watched = Margins(model, len(ids), model.config)
    out = model(ids[None], output_hidden_states=True)
    made = {"input_ids": ids}
    if "logits_w" in golden:
        print("logits_w differ by", (golden["logits_w"] - out.logits[0]).abs().max().item())
        made["logits_w"] = golden["logits_w"]
    else:
        made["logits"] = out.logits[0]
    if torch.isfinite(watched.least).any():
        made["router_margin"] = watched.least.clone()
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
    print(folder)
    main(folder.rstrip("/"))
