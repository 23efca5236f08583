"""A search trains on what the tests of training do."""

from tests.training.conftest import write_data, write_reviews

__all__ = ["write_data", "write_reviews"]
