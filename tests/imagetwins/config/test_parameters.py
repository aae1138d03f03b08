"""One list of parameters: the flow's signature and docstring, the command's options and the checks all agree with it."""

import inspect
import typing

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from flows.deduplicate import deduplicate
from imagetwins.cli.app import app
from imagetwins.config.parameters import Essentials, Options, Parameters, check_parameters, nest_options
from imagetwins.errors import ParameterError

FLOW = inspect.signature(deduplicate.fn).parameters


def test_the_flow_asks_for_the_essentials_and_has_the_options_folded():
    assert list(FLOW) == [*Essentials.model_fields, "options"]
    assert FLOW["options"].default is None
    for name, field in Essentials.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.default
        assert FLOW[name].default == default, name


def test_the_flow_has_the_limits_of_the_essentials():
    hints = typing.get_type_hints(deduplicate.fn, include_extras=True)
    properties = Essentials.model_json_schema()["properties"]
    for name in set(Essentials.model_fields) - {"folder"}:
        listed = {
            key: value for key, value in properties[name].items() if key not in {"default", "title", "description"}
        }
        assert TypeAdapter(hints[name]).json_schema() == listed, name


def test_the_form_describes_each_parameter_as_the_models_do():
    form = deduplicate.parameters.model_dump()
    shown = {**form["properties"], **form["definitions"]["Options"]["properties"]}
    for name, field in Parameters.model_fields.items():
        assert shown[name]["title"] == name
        assert " ".join(shown[name]["description"].split()) == field.description, name


def test_the_parameters_are_the_essentials_then_the_options():
    assert list(Parameters.model_fields) == [*Essentials.model_fields, *Options.model_fields]


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"folder": "f"}, {"folder": "f"}),
        ({"folder": "f", "keep": "size"}, {"folder": "f", "options": {"keep": "size"}}),
        (
            {"dry_run": True, "keep": "size", "options": {"size": 16}},
            {"dry_run": True, "options": {"keep": "size", "size": 16}},
        ),
        ({"threshold": 1, "options": None}, {"threshold": 1}),
    ],
)
def test_the_options_among_parameters_are_put_below_theirs(flat, nested):
    assert nest_options(flat) == nested
    assert nest_options(nested) == nested


def test_the_command_has_an_option_for_every_parameter():
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "run [OPTIONS] {FOLDER}..." in shown
    for name in set(Parameters.model_fields) - {"folder", "more_folders"}:
        assert f"--{name.replace('_', '-')}" in shown


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"threshold": 1.5}, ["threshold=1.5", "less than or equal to 1"]),
        ({"threshold": -1.01}, ["threshold=-1.01", "greater than or equal to -1"]),
        ({"threshold": float("nan")}, ["threshold=nan", "finite"]),
        ({"size": 8}, ["size=8", "16"]),
        ({"keep": "size, best"}, ["keep='size, best'", "'best'", "newest", "folder:NAME"]),
        ({"keep": "folder:/"}, ["folder:/"]),
        ({"keep": ""}, ["keep=''"]),
        ({"orientations": "turned"}, ["orientations='turned'", "'same' or 'all'", "mirrored"]),
        ({"audit_floor": 0.95}, ["audit_floor 0.95", "threshold 0.9"]),
        ({"max_move_share": 1.1}, ["max_move_share=1.1"]),
        ({"treshold": 0.8}, ["treshold=0.8", "threshold"]),
        ({"folder": "/no/such/folder"}, ["/no/such/folder", "does not exist"]),
        ({"folder": __file__}, ["is not a folder"]),
        ({"exclude": ["*.gif", "!"]}, ["exclude=", "'!'", ".gitignore"]),
        ({"reference": ["/no/such/folder"]}, ["reference", "does not exist"]),
        ({"more_folders": ["/no/such/folder"]}, ["folder", "/no/such/folder", "does not exist"]),
        ({"across": True}, ["there is one", "two or more"]),
        ({"across": True, "within": "folder", "reference": ["/"]}, ["across", "within='folder'", "exclude each other"]),
        ({"within": "chapters"}, ["within='chapters'", "'all' or 'folder'"]),
    ],
)
def test_wrong_values_are_refused_by_name_limit_and_remedy(given, says, tmp_path):
    with pytest.raises(ParameterError) as refusal:
        check_parameters({"folder": str(tmp_path)} | given)
    for part in says:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("size", [16, 1024], [15, 1025, 4096]),
        ("approval_hours", [0.01, 24, 1000], [0, -1, float("inf"), float("nan")]),
        (
            "dask",
            ["", "10.0.0.5:8786", "tcp://scheduler:8786", "tls://scheduler:8786", "ws://s:1", "wss://[::1]:8786"],
            [
                "scheduler",
                "tcp://scheduler",
                "http://scheduler:8786",
                "tcp://s:8786/x",
                "s: 8786",
                "s:8786 --more",
                ":",
            ],
        ),
        ("max_move_share", [0, 1], [-0.01, 1.01]),
        ("max_aspect_change", [0, 3], [-0.01, float("inf")]),
        ("approve_above", [None, 0, 7], [-1]),
        ("min_detail_ssim", [-1, 1], [-1.01, 1.01]),
    ],
)
def test_each_limit_is_where_it_is_said_to_be(name, allowed, refused, tmp_path):
    for value in allowed:
        assert getattr(check_parameters({"folder": str(tmp_path), name: value}), name) == value
    for value in refused:
        with pytest.raises(ParameterError, match=f"{name}="):
            check_parameters({"folder": str(tmp_path), name: value})


def test_folders_are_named_without_links(tmp_path):
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    parameters = check_parameters({"folder": f"{tmp_path}/link/sub/..", "reference": [f"{tmp_path}/link/sub"]})
    assert parameters.folder == str((tmp_path / "real").resolve())
    assert parameters.reference == [str((tmp_path / "real/sub").resolve())]


def test_a_folder_that_is_named_twice_counts_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    names = [f"{tmp_path}/link", f"{tmp_path}/real/", f"{tmp_path}"]
    parameters = check_parameters({"folder": f"{tmp_path}/real", "more_folders": names})
    assert parameters.folders == [str(tmp_path / "real"), str(tmp_path)]
    with pytest.raises(ParameterError, match="there is one"):
        check_parameters({"folder": f"{tmp_path}/real", "more_folders": names[:2], "across": True})
    across = {"folder": f"{tmp_path}/real", "reference": [str(tmp_path)], "across": True}
    assert check_parameters(across).across


def test_the_floor_follows_the_threshold_down_to_minus_one():
    assert Parameters(folder="f", threshold=0.9).floor == 0.85
    assert Parameters(folder="f", threshold=-0.98).floor == -1
    assert Parameters(folder="f", threshold=0.9, audit_floor=0.2).floor == 0.2
