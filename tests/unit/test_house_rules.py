"""What the documents and the lint's lists name is there, and agrees with the import contracts."""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain, product
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from email_processor.metrics import PREFIX, Metrics
from email_processor.settings import Settings

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["tool"]
DEPENDENCIES: dict[str, set[str]] = {
    "": set(PYPROJECT["project"]["dependencies"]),
    **{group: set(names) for group, names in PYPROJECT["project"]["optional-dependencies"].items()},
    **{group: set(names) for group, names in PYPROJECT["dependency-groups"].items()},
}
CONTRACTS = {contract["id"]: contract for contract in PROJECT["importlinter"]["contracts"]}
EXCEPTIONS = PROJECT["ruff"]["lint"]["per-file-ignores"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^\.PHONY: ([\w-]+)$", MAKEFILE, re.MULTILINE))
DOCUMENTS = [ROOT / "helm" / "email-processor" / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
# Where a document's short paths begin.
PLACES = (ROOT, ROOT / "src" / "email_processor", ROOT / "tests")

# Said in two ways before: what finds the old word, and what is said now. The gate of the coverage is another thing.
WORDS_THAT_ARE_OUT = {
    "in hand": (r"(?i)in[ _-]hand(?![a-z-])", "in flight"),
    "doctor": (r"(?i)doctor", "check"),
    "gate": (r"(?i)(?<!coverage )(?<![a-z])gate(?![a-z])", "fault proxy"),
}
WRITTEN = {".json", ".md", ".py", ".tf", ".toml", ".tpl", ".txt", ".yaml", ".yml"}
# What the names of our settings begin with, those included that are gone.
FAMILIES = (
    *("DELETE", "DELETES", "HTTP", "IN_FLIGHT", "LOG", "MAX_MESSAGES", "PAYLOAD", "POD", "POLL", "QUARANTINE"),
    *("QUEUE_DEPTH", "RECEIVERS", "S3", "SHUTDOWN", "SQS", "UPLOADS", "VISIBILITY"),
)
BY_EXTRAS = "types_aiobotocore_"  # the extras of types-aioboto3 are these
# What a value that is written out is made of, beside names.
MADE_OF = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.UnaryOp, ast.BinOp, ast.Call, ast.keyword),
    *(ast.operator, ast.unaryop, ast.expr_context),
)

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def expanded(pattern: str) -> Iterator[str]:
    """A pattern with `{a,b}` as patterns without."""
    parts = [part.split(",") if index % 2 else [part] for index, part in enumerate(re.split(r"[{}]", pattern))]
    return ("".join(choice) for choice in product(*parts))


def exempt(rule: str) -> set[str]:
    """The rooms of the service in which a rule of the lint is off."""
    patterns = chain.from_iterable(expanded(pattern) for pattern, rules in EXCEPTIONS.items() if rule in rules)
    return {
        pattern.removeprefix("src/email_processor/").removesuffix("/**").removesuffix(".py")
        for pattern in patterns
        if pattern.startswith("src/")
    }


@pytest.mark.parametrize("pattern", [each for pattern in EXCEPTIONS for each in expanded(pattern)])
def test_every_path_of_the_lint_exceptions_is_there(pattern: str) -> None:
    """An exception for what is gone would wait for whoever uses the name next."""
    assert any(ROOT.glob(pattern))


def test_only_rooms_of_the_contract_have_exceptions() -> None:
    """The lint's lists speak of the same rooms as the layers."""
    rooms = set(re.findall(r"\w+", " ".join(CONTRACTS["layers"]["layers"])))
    assert set() == (exempt("TID251") | exempt("PLC0415")) - rooms


def test_rooms_that_must_not_know_aws_have_no_clock_of_their_own() -> None:
    """What is simulated is told the time, and so is whatever the contract keeps apart from AWS."""
    apart = {module.removeprefix("email_processor.") for module in CONTRACTS["aws"]["source_modules"]}
    assert {"domain", "pipeline"} <= apart
    assert set() == exempt("TID251") & apart


def test_no_class_name_means_two_things() -> None:
    """In the service and its tools a class is known by its name alone."""
    text = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    names = Counter(re.findall(r"^ *class (\w+)", text, re.MULTILINE))
    assert [] == [name for name, count in names.items() if count > 1]


def test_no_measured_figure_is_in_the_code() -> None:
    """It would go stale there: docs/performance.md has them, with the machine and the date."""
    figure = r"(?i)(\d|\ba) ?(us|µs|ms|(micro|milli)?seconds?) of CPU|\b(tenth|third|half) of (a start|the (time|CPU))"
    assert [] == [str(path) for path in (ROOT / "src").rglob("*.py") if re.search(figure, path.read_text())]


def is_literal(node: ast.expr) -> bool:
    """Whether it says by itself what is expected: it is made of constants and of names with a capital only."""
    return all(
        isinstance(part, MADE_OF)
        or (isinstance(part, ast.Name) and (part.id[0].isupper() or part.id == "expected"))
        or (isinstance(part, ast.Attribute) and part.attr.isupper())
        for part in ast.walk(node)
    )


def test_the_expected_value_stands_first_in_every_assert() -> None:
    """A literal right of `==` would be it: the house asserts `expected == actual`."""
    swapped: list[str] = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
                    if is_literal(right) and not is_literal(left):
                        swapped.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [] == swapped


def test_every_target_of_make_is_explained() -> None:
    """`make` lists a target by what stands behind `##`."""
    explained = set(re.findall(r"^([\w-]+):.* ## \w", MAKEFILE, re.MULTILINE))
    assert TARGETS == explained


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    """Within the repository."""
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text())]
    local = [target for target in targets if target and not re.match(r"[a-z]+:", target)]
    assert [] == [target for target in local if not (document.parent / target).exists()]


@documents
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    """By its path from here, from the package or from the tests."""
    named = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:in|md|py|toml|txt|yaml))\b", document.read_text())
    assert [] == [path for path in named if not any((place / path).exists() for place in PLACES)]


@documents
def test_every_target_that_a_document_names_is_one(document: Path) -> None:
    """Whoever types it gets what was promised."""
    code = re.findall(r"`[^`\n]+`|^\$ .+$", document.read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ((?:[a-z-]+ ?)+)", "\n".join(code))
    assert set() == {target for words in named for target in words.split()} - TARGETS


@documents
def test_every_setting_that_a_document_names_is_one(document: Path) -> None:
    """One that was renamed or dropped would be set for nothing."""
    named = re.findall(rf"\b(?:{'|'.join(FAMILIES)})_[A-Z0-9_]+\b", document.read_text())
    assert set() == set(named) - {field.upper() for field in Settings.model_fields}


@documents
def test_every_metric_that_a_document_names_is_one(document: Path) -> None:
    """By the name of its series."""
    named = re.findall(rf"\b{PREFIX}_[a-z0-9_]+\b", document.read_text())
    assert set() == {each for each in named if not each.startswith(f"{PREFIX}_process_")} - series()


def series() -> set[str]:
    """The names of all series that the service exposes, and of gauges that have none before they are set."""
    registry = CollectorRegistry()
    Metrics(registry, "0")
    families = list(registry.collect())
    return {family.name for family in families} | {sample.name for family in families for sample in family.samples}


def test_every_place_on_the_maps_is_there() -> None:
    """Those of the tests, of the rest, and of what belongs to a change."""
    places = re.findall(r"`(\.?[\w-]+(?:/[\w.-]+)*/?)`", "\n".join(re.findall(r"^\|.+$", CONTRIBUTING, re.MULTILINE)))
    paths = [place for place in places if "/" in place]
    folders = {f"tests/{path.name}/" for path in (ROOT / "tests").glob("[a-z]*") if path.is_dir()}
    assert folders <= set(paths)
    assert [] == [path for path in paths if not (ROOT / path).exists()]


def test_every_word_of_the_glossary_is_used() -> None:
    """A word that has left the code has no business in its glossary."""
    words = re.findall(r"^\| (\w+) \|", CONTRIBUTING.partition("## Glossary")[2], re.MULTILINE)
    text = "\n".join(path.read_text() for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py"))
    assert "ledger" in words
    assert [] == [word for word in words if word != "word" and not re.search(rf"\b{word}", text, re.IGNORECASE)]


@pytest.mark.parametrize(
    ("folder", "groups"),
    [("src", {"demo", "dev"}), ("bench", {"bench"}), ("scripts", {"dev"}), ("tests", {"demo", "dev"})],
)
def test_what_is_imported_is_declared(folder: str, groups: set[str]) -> None:
    """What comes only with something else goes with it, too; `dev` in `src` is for types."""
    declared = {name(each) for each in DEPENDENCIES[""].union(*(DEPENDENCIES[group] for group in groups))}
    found = {module for path in (ROOT / folder).rglob("*.py") for module in imported(path)}
    foreign = found - sys.stdlib_module_names - {"_typeshed", "bench", "email_processor", "scripts", "tests"}
    providers = packages_distributions()
    missing = {module for module in foreign if not declared & {name(each) for each in providers.get(module, [module])}}
    assert set() == {module for module in missing if not module.startswith(BY_EXTRAS)}


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def name(requirement: str) -> str:
    """The normalised name of a distribution, from a requirement."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


@pytest.mark.parametrize("word", WORDS_THAT_ARE_OUT)
def test_words_that_are_out_stay_out(word: str) -> None:
    """A second word for a thing makes the reader look for a second thing."""
    pattern, instead = WORDS_THAT_ARE_OUT[word]
    files = [path for path in prose() if re.search(pattern, re.sub(r"\s+(?:# )?", " ", path.read_text()))]
    assert [] == [str(path.relative_to(ROOT)) for path in files], f"say {instead}"


def prose() -> Iterator[Path]:
    """Everything that people read and write here, but for the results of measurements and this file."""
    yield from (path for path in ROOT.glob("*.*") if path.suffix in WRITTEN)
    yield from (ROOT / name for name in ("Makefile", "Dockerfile", ".ci/run"))
    for folder in ("bench", "docs", "helm", "infra", "scripts", "src", "tests"):
        for path in (ROOT / folder).rglob("*"):
            is_result = (ROOT / "bench" / "results") in path.parents or "node_modules" in path.parts
            if path.suffix in WRITTEN and not is_result and path != Path(__file__):
                yield path
