"""What a model does with texts whose answer is not in doubt."""
