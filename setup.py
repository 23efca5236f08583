"""What pyproject.toml cannot say: flagfiles stand beside the package, travel in it."""

from setuptools import find_packages, setup

packages = find_packages(include=["sentiment", "sentiment.*"])
setup(
    packages=[*packages, "sentiment.configs"],
    package_dir={"sentiment.configs": "configs"},
    package_data={
        "sentiment": ["py.typed"],
        "sentiment.baselines": ["lexicon.tsv"],
        "sentiment.behaviour": ["english.json"],
        "sentiment.bundled": ["*/*.json", "*/*.h5", "*/assets/tokenizer/*"],
        "sentiment.configs": ["*.cfg", "sources/*.cfg", "lessons/*.json"],
        "sentiment.data": ["quickstart/*.csv", "short_texts/*.csv"],
    },
    include_package_data=False,
)
