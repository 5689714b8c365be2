"""One set of random weights, written as both sides read them: a Hugging Face directory in BF16, and GGUF in BF16 and Q8_0.

The shape is Qwen3-0.6B's. The Q8_0 file holds the BF16 weights quantised by the format's definition: groups of 32, each with an
fp16 scale of its largest magnitude / 127. The tokenizer has the 256 bytes, filler words and three special tokens: enough to run.
"""
import json
import struct
from pathlib import Path

import numpy as np

from common import note

SHAPE = {"hidden": 1024, "ffn": 3072, "heads": 16, "kv_heads": 8, "head_dim": 128, "layers": 28, "vocab": 151936}
POSITIONS, EPSILON, THETA = 40960, 1e-6, 1e6
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VERSION = 1  # raise it when what is written changes: cached files are written anew
CHUNK = 1 << 22  # elements converted at a time


def tensors(shape):
    """(Hugging Face name, GGUF name, dimensions), the slowest dimension first."""
    d, f, hd = shape["hidden"], shape["ffn"], shape["head_dim"]
    q, kv = shape["heads"] * hd, shape["kv_heads"] * hd
    layer = [("input_layernorm", "attn_norm", (d,)), ("self_attn.q_proj", "attn_q", (q, d)),
             ("self_attn.k_proj", "attn_k", (kv, d)), ("self_attn.v_proj", "attn_v", (kv, d)),
             ("self_attn.o_proj", "attn_output", (d, q)), ("self_attn.q_norm", "attn_q_norm", (hd,)),
             ("self_attn.k_norm", "attn_k_norm", (hd,)), ("post_attention_layernorm", "ffn_norm", (d,)),
             ("mlp.gate_proj", "ffn_gate", (f, d)), ("mlp.up_proj", "ffn_up", (f, d)), ("mlp.down_proj", "ffn_down", (d, f))]
    yield "model.embed_tokens.weight", "token_embd.weight", (shape["vocab"], d)
    for i in range(shape["layers"]):
        for hf, gguf, dims in layer:
            yield f"model.layers.{i}.{hf}.weight", f"blk.{i}.{gguf}.weight", dims
    yield "model.norm.weight", "output_norm.weight", (d,)


def bf16_bits(x):
    """float32 to bfloat16, to nearest even; finite values."""
    bits = x.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")


def float_of(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def q8_0(x):
    """float32 to Q8_0 blocks, 34 bytes each: the scale in fp16, then 32 signed bytes."""
    groups = x.reshape(-1, 32)
    scale = np.abs(groups).max(axis=1) / np.float32(127)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    blocks = np.empty(len(groups), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    blocks["scale"] = scale
    blocks["values"] = np.rint(groups * inverse[:, None])
    return blocks


def draw(dims, generator, file):
    """Appends one tensor in bf16: matrices from N(0, 0.02), norms near 1."""
    count, (mean, deviation) = int(np.prod(dims)), (0, 0.02) if len(dims) == 2 else (1, 0.05)
    for begin in range(0, count, CHUNK):
        x = generator.standard_normal(min(CHUNK, count - begin), dtype=np.float32)
        file.write(bf16_bits(x * np.float32(deviation) + np.float32(mean)).tobytes())


def vocabulary(size):
    """Tokens in order of their ids: bytes as byte-level BPE spells them, filler, special tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    words = [chr(b) if b in printable else chr(next(others)) for b in range(256)]
    filler = size - len(words) - len(SPECIAL)
    return words + [f"filler{i}" for i in range(filler)] + list(SPECIAL)


def write_hf(folder, shape=SHAPE, seed=1):
    """-> the tensors' places: {Hugging Face name: (dimensions, byte offset in model.safetensors)}."""
    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary(shape["vocab"])
    end = len(words) - 1
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16", "tie_word_embeddings": True,
        "hidden_size": shape["hidden"], "intermediate_size": shape["ffn"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"], "head_dim": shape["head_dim"],
        "vocab_size": shape["vocab"], "max_position_embeddings": POSITIONS, "rms_norm_eps": EPSILON, "rope_theta": THETA,
        "hidden_act": "silu", "attention_bias": False, "eos_token_id": end}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer = {
        "version": "1.0", "normalizer": {"type": "NFC"}, "decoder": byte_level,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}, byte_level]},
        "added_tokens": [{"id": end - 2 + i, "content": word, "special": True, "normalized": False, "single_word": False,
                          "lstrip": False, "rstrip": False} for i, word in enumerate(SPECIAL)],
        "model": {"type": "BPE", "vocab": {w: i for i, w in enumerate(words[:-len(SPECIAL)])}, "merges": []}}
    for name, content in (("config.json", config), ("tokenizer.json", tokenizer), ("tokenizer_config.json", {})):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    header, places, offset = {"__metadata__": {"format": "pt"}}, {}, 0
    for name, _, dims in tensors(shape):
        size = 2 * int(np.prod(dims))
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [offset, offset + size]}
        places[name] = (dims, offset)
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(seed)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, dims in tensors(shape):
            draw(dims, generator, file)
    return {name: (dims, 8 + len(text) + offset) for name, (dims, offset) in places.items()}


def gguf_string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_pair(key, value):
    """A key and its value: bool, int (u32), float, string, or a list of strings or ints."""
    if isinstance(value, list):
        words = not value or isinstance(value[0], str)
        body = b"".join(map(gguf_string, value)) if words else struct.pack(f"<{len(value)}i", *value)
        return gguf_string(key) + struct.pack("<IIQ", 9, 8 if words else 5, len(value)) + body
    for kind, code, pack in ((bool, 7, "<?"), (int, 4, "<I"), (float, 6, "<f")):
        if isinstance(value, kind):
            return gguf_string(key) + struct.pack("<I", code) + struct.pack(pack, value)
    return gguf_string(key) + struct.pack("<I", 8) + gguf_string(value)


def write_gguf(path, kind, hf_file, places, shape=SHAPE):
    """The tensors of hf_file as GGUF: matrices in `kind` (bf16 or q8_0), norms in f32."""
    matrix = {"bf16": (30, 32), "q8_0": (8, 7)}[kind]  # the type's and the file type's numbers
    words = vocabulary(shape["vocab"])
    end = len(words) - 1
    pairs = {
        "general.architecture": "qwen3", "general.name": "random", "general.alignment": 32, "general.file_type": matrix[1],
        "general.quantization_version": 2, "qwen3.block_count": shape["layers"], "qwen3.context_length": POSITIONS,
        "qwen3.embedding_length": shape["hidden"], "qwen3.feed_forward_length": shape["ffn"],
        "qwen3.attention.head_count": shape["heads"], "qwen3.attention.head_count_kv": shape["kv_heads"],
        "qwen3.attention.key_length": shape["head_dim"], "qwen3.attention.value_length": shape["head_dim"],
        "qwen3.attention.layer_norm_rms_epsilon": EPSILON, "qwen3.rope.freq_base": THETA,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [1] * (len(words) - len(SPECIAL)) + [3] * len(SPECIAL), "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": end, "tokenizer.ggml.add_bos_token": False}
    infos, offset = [], 0
    for _, name, dims in tensors(shape):
        number, bits = (0, 32) if len(dims) == 1 else (matrix[0], {"bf16": 16, "q8_0": 8.5}[kind])
        infos.append(gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *reversed(dims), number, offset))
        size = int(np.prod(dims) * bits / 8)
        offset += size + -size % 32
    source = np.memmap(hf_file, dtype=np.uint8, mode="r")
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)))
        file.write(b"".join(gguf_pair(k, v) for k, v in pairs.items()) + b"".join(infos))
        for name, _, dims in tensors(shape):
            file.write(bytes(-file.tell() % 32))
            begin = places[name][1]
            bits = source[begin:begin + 2 * int(np.prod(dims))].view("<u2")
            for i in range(0, len(bits), CHUNK):
                part = bits[i:i + CHUNK]
                out = float_of(part) if len(dims) == 1 else part if kind == "bf16" else q8_0(float_of(part))
                file.write(out.tobytes())


def prepare(folder, fresh=False):
    """-> {"hf": directory, "bf16": file, "q8_0": file}; written on the first call, 2.9 GB."""
    folder = Path(folder)
    files = {"hf": folder / "hf", "bf16": folder / "bf16.gguf", "q8_0": folder / "q8_0.gguf"}
    stamp, key = folder / "complete.json", {"version": VERSION, "shape": SHAPE}
    if fresh or not stamp.is_file() or json.loads(stamp.read_text()) != key:
        note(f"writing the weights to {folder} (2.9 GB, once)")
        stamp.unlink(missing_ok=True)
        places = write_hf(files["hf"])
        for kind in ("bf16", "q8_0"):
            write_gguf(files[kind], kind, files["hf"] / "model.safetensors", places)
        stamp.write_text(json.dumps(key))
    return files
