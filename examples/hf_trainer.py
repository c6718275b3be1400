"""Hugging Face's Trainer teaches a tiny GPT-2, made from a config, to count on; nothing is downloaded.

    pip install "rmsprop[torch]" transformers accelerate
    python examples/hf_trainer.py

The optimizer clips the gradients, in the pass that steps the weights.
"""

import argparse
import tempfile
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from rmsprop.torch import RMSprop

WORDS, LENGTH = 32, 12
MODEL = {"vocab_size": WORDS, "n_positions": LENGTH, "n_embd": 32, "n_layer": 1, "n_head": 2}


def train(steps: int, optimizer: type[torch.optim.Optimizer] = RMSprop, **options: Any) -> Trainer:
    """Return a trainer that has taken some steps on sequences such as 3 5 7 9 ..., modulo 32."""
    torch.manual_seed(0)
    starts, strides = torch.arange(WORDS), torch.arange(1, 5)
    counted = (starts[:, None, None] + strides[:, None] * torch.arange(LENGTH)).flatten(0, 1) % WORDS
    sequences = [{"input_ids": row, "labels": row} for row in counted]
    model = GPT2LMHeadModel(GPT2Config(**MODEL, bos_token_id=0, eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=32,
            logging_steps=max(1, steps // 5),
            max_grad_norm=0.0,  # as the optimizer clips
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(model, settings, train_dataset=sequences, optimizer_cls_and_kwargs=(optimizer, options))
        trainer.train()
    return trainer


def main(arguments: list[str] | None = None) -> float:
    """Train, let the model count on from 0 2 4 6, and return the loss at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    trainer = train(parser.parse_args(arguments).steps, lr=3e-3, max_norm=1.0)
    counted = [0, 2, 4, 6]
    while len(counted) < LENGTH:
        counted.append(int(trainer.model(torch.tensor([counted])).logits[0, -1].argmax()))
    print("0 2 4 6 goes on with", *counted[4:])
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]


if __name__ == "__main__":
    main()
