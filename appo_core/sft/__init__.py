"""Cold-start supervised fine-tuning with LLaMA-Factory. Needs the sft environment."""
