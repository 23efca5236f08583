"""What pyproject.toml cannot say: flagfiles stand beside the package, travel in it."""

from setuptools import find_packages, setup

packages = find_packages(include=["sentiment", "sentiment.*"])
setup(
    packages=[*packages, "sentiment.configs"],
    package_dir={"sentiment.configs": "configs"},
    package_data={"sentiment.configs": ["*.cfg"]},
)
