"""A step's rollouts as a page to look into. No torch: dumps are read as JSON, ids decoded with `tokenizers`."""

from appo_core.viewing.dump_file import DumpRow, choose_step, step_files
from appo_core.viewing.page import render
from appo_core.viewing.pieces import TOKENIZER_FILE, Pieces
from appo_core.viewing.step import Step, load_step

__all__ = ["TOKENIZER_FILE", "DumpRow", "Pieces", "Step", "choose_step", "load_step", "render", "step_files"]
