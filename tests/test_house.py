"""What a reader may rely on to find the way: rooms, stages and tests that mirror each other."""

import ast
import re
from pathlib import Path

import pytest

from imagetwins.store.record import Stage

HOME = Path(__file__).parent.parent
PACKAGES = ("imagetwins", "flows", "tasks", "deployments")
APPROVE = "approve"
"""Between two stages, and no stage: only some runs ask."""

OTHER_JOBS = {"restore", "rethreshold", "calibrate"}
"""The one stage of each of the flows that are no runs."""


def modules(package):
    return sorted(path for path in (HOME / package).rglob("*.py") if path.name != "__init__.py")


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def names(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


def decorators(path):
    functions = [node for node in parse(path).body if isinstance(node, ast.FunctionDef)]
    return [ast.unparse(one).partition("(")[0] for function in functions for one in function.decorator_list]


def test_each_file_of_flows_is_one_flow():
    for path in modules("flows"):
        assert decorators(path) == ["flow"], path


def test_each_file_of_tasks_is_a_stage():
    assert {path.stem for path in modules("tasks")} == {stage.value for stage in Stage} | {APPROVE} | OTHER_JOBS
    for path in modules("tasks"):
        assert "task" in decorators(path), path


def test_the_flow_follows_the_stages():
    source = (HOME / "flows/deduplicate.py").read_text(encoding="utf-8")
    followed = re.findall(r"with context\.stage\(Stage\.(\w+)\)", source)
    assert [Stage[name] for name in followed] == list(Stage)


def test_what_the_stages_do_up_to_the_decisions_is_there_without_prefect_too():
    decided = list(Stage)[: list(Stage).index(Stage.DECIDE) + 1]
    assert {path.stem for path in modules("imagetwins/stages")} == {stage.value for stage in decided}
    called = (HOME / "imagetwins/api/duplicates.py").read_text(encoding="utf-8")
    assert [Stage[name] for name in re.findall(r"with _stage\(Stage\.(\w+)", called)] == decided


def test_the_readme_explains_the_stages_in_their_order():
    section = re.search(r"## What it does with a picture\n(.*?)\n## ", (HOME / "README.md").read_text(), re.DOTALL)[1]
    explained = re.findall(r"^\d\. \*\*([A-Z]\w+)\b", section, re.MULTILINE)
    assert [name.lower() for name in explained] == [stage.value for stage in Stage]


def test_links_between_the_pages_lead_somewhere():
    pages = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_each_page_of_the_documentation_is_linked_from_the_readme():
    readme = (HOME / "README.md").read_text(encoding="utf-8")
    for page in (HOME / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme, page


@pytest.mark.parametrize("package", PACKAGES)
def test_each_room_says_what_it_is_for_in_a_sentence(package):
    for path in sorted((HOME / package).rglob("__init__.py")):
        assert ast.get_docstring(parse(path)), path


def test_the_environment_is_read_in_one_module():
    reading = {"environ", "getenv"}
    # These set what Prefect and others read when they are imported; they read nothing themselves.
    setting = {
        HOME / name
        for name in (
            "imagetwins/runtime/server.py",
            "imagetwins/runtime/server_process.py",
            "imagetwins/runtime/places.py",
            "imagetwins/cli/serve.py",
            "imagetwins/decoding/pool.py",
            "deployments/engine.py",
        )
    }
    found = {path for package in PACKAGES for path in modules(package) if names(parse(path)) & reading}
    assert found == {HOME / "imagetwins/settings.py"} | setting
    for path in setting:
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"environ(\.get\(|\[[^\]]+\](?! = ))|getenv", source), path


def test_who_is_in_a_bucket_is_asked_in_storage_alone():
    outside = [path for package in PACKAGES for path in modules(package) if "storage" not in path.parts]
    for path in outside:
        used = names(parse(path))
        assert not used & {"UPath", "storage_options", "is_remote"}, path


def test_the_tests_mirror_the_tree():
    for path in (HOME / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(HOME / "tests")
        assert folder == Path("ui") or folder == Path() or (HOME / folder).is_dir(), path
    for package in (path.parent for path in (HOME / "imagetwins").rglob("__init__.py")):
        assert list((HOME / "tests" / package.relative_to(HOME)).glob("test_*.py")), f"{package} has no tests"
