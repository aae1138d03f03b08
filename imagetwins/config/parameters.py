"""The parameters of a run: names, types, limits, defaults and descriptions, written once.

The flow's form in Prefect's UI, the options of the command line and the deployments all come from here. The form has
`Essentials` on its first screen, and `Options` below one heading, folded. (The flow spells the few essentials out again,
because Prefect takes their descriptions from its docstring; a test holds the two equal.)
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from imagetwins.config.folders import (
    allowed_roots,
    check_apart,
    check_folder,
    check_into,
    check_obstacle,
    check_writable,
    resolve_store,
)
from imagetwins.config.formats import ALL, check_formats
from imagetwins.config.keep import check_keep, split_keep
from imagetwins.config.layout import Layout, make_layout
from imagetwins.config.patterns import compile_patterns
from imagetwins.config.roots import check_roots
from imagetwins.decoding.model import DecodeSettings, Decoding, Resampling
from imagetwins.errors import ParameterError
from imagetwins.orientation import Orientations
from imagetwins.storage import Location, parse_location

AUDIT_MARGIN = 0.05
"""How far below the threshold the comparison table is complete, unless `audit_floor` says otherwise."""

Score = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=16, le=1024)]
Rule = Literal["careful", "plain"]
Keep = Annotated[str, AfterValidator(check_keep)]
Grouping = Literal["representative", "any"]
Sidecars = Literal["move", "leave"]
ApprovalPolicy = Literal["never", "review", "always"]
CachePixels = Literal["yes", "no"]
Within = Literal["all", "folder"]
Burst = Literal["move", "review", "keep"]
Count = Annotated[int, Field(ge=0)]
# A form has a field for a number then.
Bytes = Annotated[ByteSize, WithJsonSchema({"type": "integer", "minimum": 0})]
Formats = Annotated[str, AfterValidator(check_formats)]
Address = Annotated[str, Field(pattern=r"^$|^((tcp|tls|ws|wss)://)?[^/\s]+:[0-9]+$")]
Hours = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Remember = Literal["put back", "not duplicates", "nothing"]
"""What is remembered of pictures that are put back, see store/memory.py."""

AsUsual = Annotated[
    None, Field(title="As usual", description="As this deployment says, and else by default, which suits most folders.")
]
"""No options: a form shows the title, and beneath it the description, in place of all their fields."""


class Essentials(BaseModel):
    """What nobody can leave to a default without a look: the first screen of the form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Annotated[
        str,
        Field(
            description="The folder of pictures to look through; a path, or a URL as in s3://bucket/pictures.",
            min_length=1,
        ),
    ]
    threshold: Annotated[
        Score, Field(description="Two pictures match when their SSIM is this or more (-1 to 1; 1 is identical).")
    ] = 0.9
    dry_run: Annotated[bool, Field(description="Find and report the duplicates, but move nothing.")] = False


class Options(BaseModel):
    """Change what you like; all else is as it is by default."""

    # The title is what a form says to unfold the fields; theirs are their names, as the command line and prefect.yaml spell them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", title="Choose", field_title_generator=lambda name, _field: name
    )

    rule: Annotated[
        Rule,
        Field(
            description="careful: a match that a score alone cannot vouch for is listed for review and not moved. plain: of "
            "two pictures that match, the one listed later moves; no guard holds it back, grouping is any and keep is first, "
            "whatever they say."
        ),
    ] = "careful"
    recursive: Annotated[bool, Field(description="Look into sub-folders too.")] = True
    size: Annotated[
        Size, Field(description="Side of the square thumbnails that are compared, in pixels (16 to 1024).")
    ] = 200
    resampling: Annotated[
        Resampling,
        Field(description="How thumbnails are resized: area averages all pixels, linear is OpenCV's plain resize."),
    ] = "area"
    decoding: Annotated[
        Decoding,
        Field(
            description="full decodes every pixel, so that scores are exact. reduced decodes large JPEGs to a half, a "
            "quarter or an eighth, but not below twice the thumbnail: two to three times as fast, and scores change by up "
            "to about 0.03."
        ),
    ] = "full"
    orientations: Annotated[
        Orientations,
        Field(
            description="same: two pictures are compared as a viewer shows them. all: the second one also turned by 90, 180 and "
            "270 degrees and mirrored, and the best of the eight scores counts: turned and mirrored copies match, for a few "
            "times the time."
        ),
    ] = "same"
    keep: Annotated[
        Keep,
        Field(
            description="Which copy stays: words with commas between, the first that tells two copies apart decides, as in "
            "resolution,name,first. first: listed first. resolution: most pixels. size: most bytes. oldest, newest: by the date "
            'it was taken (EXIF), else the file\'s. exif-date: one that has such a date. name: no copy suffix, as in "x (1)" or '
            '"x copy". companions: most that belongs to it, as sidecars or a film; first unless named. folder:NAME: one in a '
            "folder of that name. References rank before all."
        ),
    ] = "first"
    grouping: Annotated[
        Grouping,
        Field(
            description="representative: every moved picture matches one that stays. "
            "any: every picture that matches any picture before it is moved."
        ),
    ] = "representative"
    audit_floor: Annotated[
        Score | None,
        Field(
            description="Every pair scoring this or more is stored for later audits; -1 stores all pairs. "
            f"Default: threshold - {AUDIT_MARGIN}."
        ),
    ] = None
    min_detail_ssim: Annotated[
        Score,
        Field(
            description="A match scoring less than this where the pictures have detail is listed for review and not "
            "moved; -1 switches this guard off."
        ),
    ] = 0.7
    min_local_ssim: Annotated[
        Score,
        Field(
            description="A match that differs in one place is listed for review and not moved: one with a small square "
            "that scores less than this, if the rest is equal; less is required where all of it differs. -1 switches this "
            "guard off."
        ),
    ] = 0.85
    max_peak_difference: Annotated[
        Ratio,
        Field(
            description="A match that differs in one place, as by a date or a name, more than this many times as much as in most "
            "others is listed for review and not moved."
        ),
    ] = 7.0
    max_colour_difference: Annotated[
        Ratio,
        Field(
            description="A match in which the colour of one place differs by more than this many levels (0 to 255), beyond that "
            "of the whole, is listed for review and not moved."
        ),
    ] = 22.0
    max_aspect_change: Annotated[
        Ratio,
        Field(
            description="A match whose width-to-height ratios differ by more than this share (0.1 is 10 %) is listed for "
            "review and not moved."
        ),
    ] = 0.1
    burst: Annotated[
        Burst,
        Field(
            description="Matches that are two shots by their EXIF, taken at different times or exposed differently, as of bursts and "
            "brackets. review: they are listed for review and not moved. keep: they are no matches, and nobody is asked. move: "
            "what EXIF says is not looked at."
        ),
    ] = "review"
    max_move_share: Annotated[
        Share,
        Field(description="If more than this share of the folder would move, nothing moves and all is for review."),
    ] = 1.0
    approval: Annotated[
        ApprovalPolicy,
        Field(
            description="Ask a person before anything moves: never, when something is for review, or always. "
            "An approval also moves what max_move_share holds back."
        ),
    ] = "never"
    approve_above: Annotated[
        Count | None, Field(description="Ask as well when more files than this would move. Default: no limit.")
    ] = None
    approval_hours: Annotated[
        Hours, Field(description="How long to wait for an answer, in hours; then nothing moves.")
    ] = 24.0
    exclude: Annotated[
        list[str],
        Field(
            description="Patterns, as in a .gitignore, of files and sub-folders to leave out besides the default ones; "
            "!NAME/ takes in what those leave out."
        ),
    ] = []
    default_excludes: Annotated[
        bool,
        Field(
            description="Leave out hidden folders, trash, snapshots, the innards of photo libraries, and thumbnails that "
            "storage boxes and photo servers make. The run says how many it left out."
        ),
    ] = True
    min_side: Annotated[
        Count,
        Field(
            description="Pictures whose shorter side has fewer pixels than this are not compared, and stay: icons, buttons. "
            "0 is no limit."
        ),
    ] = 0
    min_bytes: Annotated[
        Bytes,
        Field(
            description="Smaller files are left out, and stay; a number of bytes, on the command line also 100KB or 1.5MB. "
            "0 is no limit."
        ),
    ] = ByteSize(0)
    formats: Annotated[
        Formats,
        Field(
            description="Only pictures of these formats are compared, by their suffixes, and by their first bytes where a name "
            "says nothing; names or suffixes with commas between, as in jpg,heic,raw, or all."
        ),
    ] = ALL
    sidecars: Annotated[
        Sidecars,
        Field(
            description="What becomes of the files that belong to a picture that moves (XMP, AAE, Google's JSON, the film of "
            "a Live Photo, the raw file beside a JPEG): move, they follow it, and come back with it, or leave."
        ),
    ] = "move"
    reference: Annotated[
        list[str], Field(description="Folders, or URLs, whose pictures are compared too, always kept, and never moved.")
    ] = []
    store: Annotated[
        str | None,
        Field(
            description="Folder of the tables and journals, or its URL. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store)."
        ),
    ] = None
    cache_pixels: Annotated[
        CachePixels,
        Field(
            description="Whether the cache keeps the pixels of thumbnails for later runs: yes, or no, which takes less than half "
            "of the space; later runs then decode again what they must compare closely."
        ),
    ] = "yes"
    dask: Annotated[
        Address | None,
        Field(
            description="Address of a Dask scheduler, as in tcp://10.0.0.5:8786, whose workers load and score the "
            "pictures. Default: this machine does."
        ),
    ] = None
    more_folders: Annotated[
        list[str],
        Field(
            description="More folders of pictures, or URLs: all pictures of all folders are compared, and each duplicate goes to "
            "the Duplicates of its own folder."
        ),
    ] = []
    into: Annotated[
        str | None,
        Field(
            description="One folder, or URL, for the duplicates of all folders, which is never looked through: there they keep "
            "their paths, below the name of their folder if there are several. Default: each folder has its Duplicates."
        ),
    ] = None
    within: Annotated[
        Within,
        Field(
            description="all: two pictures may match wherever they lie. folder: only if the same sub-folder holds both, as of "
            "chapters or products. Pictures of references may match all."
        ),
    ] = "all"
    across: Annotated[
        bool,
        Field(
            description="Two pictures may match only if they lie in two of the given folders, or one in a reference: copies "
            "inside one folder stay."
        ),
    ] = False


class Parameters(Options, Essentials):
    """What one run of `deduplicate-images` was asked to do: the essentials and the options, side by side."""

    @model_validator(mode="after")
    def _check_floor(self) -> Self:
        if self.audit_floor is not None and self.audit_floor > self.threshold:
            raise ValueError(
                f"audit_floor {self.audit_floor} is above the threshold {self.threshold}: matches would be missing from "
                "the table. Give a floor at or below the threshold."
            )
        return self

    @model_validator(mode="after")
    def _check_restriction(self) -> Self:
        if self.across and self.within != "all":
            raise ValueError(
                f"across and within={self.within!r} exclude each other: no two pictures lie in one sub-folder and in two folders. "
                "Give one of them."
            )
        return self

    @property
    def changed(self) -> dict[str, Any]:
        """The parameters that are not the defaults, but for the first folder, which has none."""
        defaults = Parameters(folder=self.folder).model_dump()
        return {name: value for name, value in self.model_dump().items() if value != defaults[name]}

    @property
    def keeps_pixels(self) -> bool:
        """Whether the cache keeps the pixels of thumbnails when the run is over."""
        return self.cache_pixels == "yes"

    @property
    def is_careful(self) -> bool:
        """Whether matches can be for review: the rule is not the plain one."""
        return self.rule == "careful"

    @property
    def keeps_shots(self) -> bool:
        """Whether two shots are no match, whatever they score."""
        return self.is_careful and self.burst == "keep"

    @property
    def ranking(self) -> tuple[str, ...]:
        """The words by which the copies of a picture are ranked, with those that come first unless they are named."""
        if not self.is_careful:
            return "reference", "first"
        named = split_keep(self.keep)
        return "reference", *(() if "companions" in named else ("companions",)), *named

    @property
    def folders(self) -> list[str]:
        """The names of all folders whose duplicates may move."""
        return [self.folder, *self.more_folders]

    @property
    def layout(self) -> Layout:
        """These folders, and where their duplicates go."""
        return make_layout(self.folders, self.into)

    def shares_folder(self, folders: Collection[str]) -> bool:
        """Whether one of these folders is one of `folders`."""
        return not set(self.folders).isdisjoint(folders)

    @property
    def is_restricted(self) -> bool:
        """Whether not all pairs may match."""
        return self.across or self.within == "folder"

    @property
    def references(self) -> list[Location]:
        """The folders whose pictures are compared and never move."""
        return [parse_location(folder) for folder in self.reference]

    @property
    def locations(self) -> list[Location]:
        """All folders whose pictures are compared: those whose duplicates may move, then the references."""
        return [*self.layout.folders, *self.references]

    @property
    def decode_settings(self) -> DecodeSettings:
        """How all thumbnails of the run are made, whenever and wherever."""
        return DecodeSettings(self.size, self.resampling, self.decoding)

    @property
    def floor(self) -> float:
        """The score down to which the comparison table is complete."""
        return max(-1.0, round(self.threshold - AUDIT_MARGIN, 10)) if self.audit_floor is None else self.audit_floor


def nest_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters `values` as the flow takes them: what is no essential, known or not, is below `options`."""
    first = {name: value for name, value in values.items() if name in Essentials.model_fields}
    others = {name: value for name, value in values.items() if name not in first and name != "options"}
    options = others | (values.get("options") or {})
    return first | ({"options": options} if options else {})


def check_parameters(values: dict[str, Any]) -> Parameters:
    """Return the validated parameters, all folders as absolute paths, and each of them once.

    Raises:
        ParameterError: naming each wrong value, its limit and the remedy.
    """
    parameters = parse_parameters(values)
    compile_patterns(parameters.exclude)
    folders = list(dict.fromkeys(check_folder("folder", name) for name in parameters.folders))
    references = [check_folder("reference", name) for name in parameters.reference]
    if parameters.across and len({*folders, *references}) < 2:
        raise ParameterError(
            f"across compares between folders, and there is one, {str(folders[0])!r}. Give two or more, or a reference."
        )
    into = None if parameters.into is None else check_into(parameters.into, folders, references)
    first, *more = map(str, folders)
    names = {"folder": first, "more_folders": more, "reference": list(map(str, references))}
    return parameters.model_copy(update=names | {"into": None if into is None else str(into)})


def parse_parameters(values: dict[str, Any]) -> Parameters:
    """Return the parameters, of which nothing is known yet but that each is within its limits.

    Raises:
        ParameterError: naming each wrong value, its limit and the remedy.
    """
    try:
        return Parameters(**values)
    except ValidationError as error:
        raise ParameterError("; ".join(_describe(problem) for problem in error.errors())) from None


def check_locations(parameters: Parameters) -> None:
    """Refuse a run on folders outside the allowed roots, that could move nothing, or with a store that can be none or cannot be written.

    Raises:
        ParameterError: naming the folder and the remedy.
    """
    store, layout = resolve_store(parameters.store), parameters.layout
    check_writable(store)
    check_roots([*layout.places, *parameters.references], allowed_roots())
    if not parameters.dry_run:
        check_obstacle(layout)
    if layout.into is not None:
        check_apart(layout.into, store, "the store")


def _describe(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["ctx"]["error"])
    name = problem["loc"][0]
    field = Parameters.model_fields.get(name)
    what = f" {field.description}" if field else f" Known parameters: {', '.join(Parameters.model_fields)}."
    return f"{name}={problem['input']!r}: {problem['msg']}.{what}"
