"""The command line: `python -m stampbench`.

Exit codes: 0 for success, 1 if jobs or a gate failed, 2 for wrong usage, missing data or output that cannot be written,
129 after a hang-up, 130 after Ctrl-C, 141 if the reader of the output has gone (but `run` goes on), 143 after SIGTERM.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stampbench import __version__
from stampbench.cli_data import data_app
from stampbench.cli_offline import pack, unpack
from stampbench.cli_options import (
    EndInJson,
    ExecutorName,
    ExecutorOptions,
    Format,
    Json,
    Methods,
    Offline,
    PrecisionName,
    PresetName,
    Quiet,
    Results,
    Retry,
    Seeds,
    SuiteName,
    Targets,
)
from stampbench.errors import UserError
from stampbench.listing import LISTINGS, Listable
from stampbench.output import outlets, printing_is_secondary
from stampbench.stopping import stoppable
from stampbench.terminal import show, show_details, show_table

if TYPE_CHECKING:
    from stampbench.store import Store
    from stampbench.suite import Suite


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"stampbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Compare methods of network pruning at the same budget, from the same seeds, with all time counted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    with outlets():
        try:
            app(args=None if arguments is None else list(arguments), prog_name="stampbench")
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)


@app.command()
def run(
    suite: SuiteName,
    preset: PresetName = None,
    method: Methods = None,
    target: Targets = None,
    seed: Seeds = None,
    retry: Retry = False,
    precision: PrecisionName = None,
    offline: Offline = False,
    quiet: Quiet = False,
    as_json: EndInJson = False,
    executor: ExecutorName = "in-process",
    executor_options: ExecutorOptions = None,
    results: Results = Path("results"),
) -> None:
    """Run the missing jobs of a suite. If the command is stopped, the same command resumes where it stopped."""
    from stampbench.running.artefacts import Artefacts
    from stampbench.running.campaign import Campaign, selected
    from stampbench.running.executors.base import executor_of, missing, tidy
    from stampbench.running.fetching import fetch_missing
    from stampbench.running.progress import progress_for
    from stampbench.store import Store

    printing_is_secondary()
    chosen, store = executor_of(executor, executor_options or []), Store(results)
    campaign = Campaign(suite, preset, store, chosen.cuda, precision)
    jobs = selected(campaign.jobs, methods=method, targets=target, seeds=seed)
    store.mend()
    tidy(store)
    for warning in campaign.of_other_images(jobs):
        print(f"warning: {warning}", file=sys.stderr)
    print(campaign.announcement(jobs, retry), file=sys.stderr if quiet or as_json else sys.stdout, flush=True)
    with stoppable():
        artefacts = Artefacts.beside(store.artefacts)
        fetch_missing(missing(jobs, store, retry), campaign.suite.datasets, artefacts, offline, _to_stderr)
    with stoppable(), progress_for(sys.stdout, quiet or as_json) as observer:
        chosen.run(jobs, campaign.suite, store, observer, retry, campaign.estimate(jobs, retry).seconds)
    unsound = campaign.without_result(jobs)
    for record in unsound:
        print(f"{record.status}: {record.job.label}: {record.reason}", file=sys.stderr)
    if as_json:
        show(*campaign.outcomes(jobs), as_json=True)
    else:
        _show_core([campaign.suite], store, campaign.preset)
        print(f"all tables, figures and the page: python -m stampbench report {suite}", flush=True)
    left = missing(jobs, store, retry=False)
    for job in left:
        print(f"missing: {job.label}: executor {executor!r} left no record of it", file=sys.stderr)
    if failed := [record for record in unsound if record.status != "skipped"]:
        print(f"{len(failed)} of {len(jobs)} jobs have no result; --retry runs them again", file=sys.stderr)
    if left:
        print(f"{len(left)} of {len(jobs)} jobs have no record; the same command runs them", file=sys.stderr)
    if failed or left:
        raise typer.Exit(1)


@app.command("try")
def try_(
    images: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of images by class, or of parquet, split or not.")
    ],
    out: Annotated[Path | None, typer.Option(help="The folder to write; default: try-NAME.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds; one takes the carried artefacts.")] = 1,
    offline: Offline = False,
) -> None:
    """Compare STAMP, magnitude, random and dense on your own images: a suite, its run, tables, figures and exports."""
    from stampbench.report.write import write_report
    from stampbench.running import trying
    from stampbench.running.artefacts import Artefacts
    from stampbench.running.campaign import Campaign
    from stampbench.running.executors.base import missing
    from stampbench.store import Store

    folder = out or Path(f"try-{trying.name_of(images)}")
    suite, store = trying.write_suite(images, folder, seeds), Store(folder / "results")
    campaign = Campaign(str(suite), trying.PRESET, store)
    print(f"wrote {suite}, which `plan`, `run`, `report` and `export` take: edit a copy to vary it")
    todo = missing(campaign.jobs, store, retry=False)
    print(trying.how_long(campaign, todo, Artefacts.beside(store.artefacts)), flush=True)
    run(str(suite), trying.PRESET, offline=offline, results=store.root)
    written = write_report([campaign.suite], store, Format, folder / "report")
    figures = [path for path in written if path.suffix == ".png"]
    print(f"\nwrote {len(written)} files to {folder / 'report'}, such as {', '.join(map(str, figures[:2]))}")
    print(*trying.advice(campaign, suite), sep="\n")


@app.command()
def plan(
    suite: SuiteName,
    preset: PresetName = None,
    method: Methods = None,
    target: Targets = None,
    seed: Seeds = None,
    precision: PrecisionName = None,
    as_json: Json = False,
    results: Results = Path("results"),
) -> None:
    """Show which jobs are done, missing or stale, and the estimated hours."""
    from stampbench.running.campaign import Campaign, selected
    from stampbench.store import Store

    campaign = Campaign(suite, preset, Store(results), precision=precision)
    jobs = selected(campaign.jobs, methods=method, targets=target, seeds=seed)
    show(*campaign.overview(jobs), as_json=as_json)
    said = sys.stderr if as_json else sys.stdout
    print(f"\n{campaign.announcement(jobs)}", file=said)
    for record in campaign.store.stale(jobs):
        print(f"stale, made by version {record.job.method_version}: {record.job.label} ({record.key})", file=said)


app.command()(pack)
app.command()(unpack)


@app.command()
def export(
    suite: SuiteName,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet, or be empty.")],
    preset: PresetName = None,
    method: Annotated[str | None, typer.Option(help="The method, or its row's name in `plan`.")] = None,
    target: Annotated[str | None, typer.Option(help="The target.")] = None,
    network: Annotated[str | None, typer.Option(help="The network.")] = None,
    width: Annotated[float | None, typer.Option(help="The network's width.")] = None,
    start: Annotated[str | None, typer.Option(help="The weights that pruning starts from.")] = None,
    resource: Annotated[str | None, typer.Option(help="The resource of the budget.")] = None,
    budget: Annotated[str | None, typer.Option(help="The share that is kept, such as 1/4.")] = None,
    epochs: Annotated[int | None, typer.Option(help="The epochs after pruning.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed.")] = None,
    precision: PrecisionName = None,
    results: Results = Path("results"),
) -> None:
    """Run one job again, to the same bits, and write its trained network, in three formats, to a folder.

    The options must leave one job; where they leave several, the command says what they differ in.
    """
    from stampbench.export.selection import single
    from stampbench.running.campaign import Campaign
    from stampbench.store import Store

    printing_is_secondary()
    campaign = Campaign(suite, preset, Store(results), precision=precision)
    wanted = {"method": method, "target": target, "network": network, "width": width, "start": start}
    wanted |= {"resource": resource, "budget": budget, "epochs": epochs, "seed": seed}
    job = single(campaign.jobs, wanted)

    from stampbench.export.command import NoNetworkError
    from stampbench.export.command import export as export_job
    from stampbench.running.executors.base import tidy
    from stampbench.running.progress import progress_for

    campaign.store.mend()
    tidy(campaign.store)
    for warning in campaign.of_other_images([job]):
        print(f"warning: {warning}", file=sys.stderr)
    try:
        with stoppable(), progress_for(sys.stdout) as observer:
            exported = export_job(job, campaign, out, observer)
    except NoNetworkError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"wrote {', '.join(exported.files)} to {out}; its README.md says how to load the network")
    for problem in exported.problems:
        print(problem, file=sys.stderr)
    if exported.problems:
        raise typer.Exit(1)


@app.command()
def report(
    suite: Annotated[
        str | None, typer.Argument(metavar="[SUITE]", help="A suite file or name; default: all of `list suites`.")
    ] = None,
    formats: Annotated[list[Format] | None, typer.Option("--format", help="May be repeated; default: all.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("reports"),
    into: Annotated[Path | None, typer.Option(help="Only renew the tables that are marked in this file.")] = None,
    results: Results = Path("results"),
) -> None:
    """Write the tables, figures and page of one suite or of all, and print the tables: on a terminal, their core."""
    from stampbench import suite as suites
    from stampbench.report.write import renew, write_report
    from stampbench.running.campaign import suite_files, suite_path
    from stampbench.store import Store

    paths = [suite_path(suite)] if suite else suite_files()
    loaded = [suites.load(path) for path in paths]
    if into:
        renew(into, loaded, Store(results))
        print(f"renewed the tables in {into}")
        return
    chosen, store = [str(name) for name in formats or Format], Store(results)
    written = write_report(loaded, store, chosen, out)
    if sys.stdout.isatty():
        _show_core(loaded, store)
    for path in [] if sys.stdout.isatty() else written:
        if path.suffix == ".md":
            print(path.read_text(encoding="utf-8"))
    print(f"wrote {len(written)} files to {out}")
    if not written or next(store.records(), None) is None:
        print(
            f"{results} holds no record to report; make records with `run`, or name their folder with --results",
            file=sys.stderr,
        )


@app.command()
def check(
    suite: SuiteName,
    preset: PresetName = None,
    record: Annotated[
        bool, typer.Option("--record", help="Store these records as the baseline of this device.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary to this file.")] = None,
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 2 where there is no baseline.")] = False,
    baselines: Annotated[Path, typer.Option(help="The folder of baselines.")] = Path("results/baselines"),
    results: Results = Path("results"),
) -> None:
    """Compare accuracy, speed, costs and draws of a suite's records with the baseline of this device."""
    from stampbench import regress
    from stampbench.files import write_atomically
    from stampbench.report import gate
    from stampbench.running.campaign import Campaign
    from stampbench.store import Store

    campaign = Campaign(suite, preset, Store(results))
    records = campaign.store.of(campaign.jobs)
    title = f"check of {campaign.suite.name}, preset {campaign.preset}"
    if not records:
        raise UserError(f"{title}: there is no record of it; run the suite first")
    device = next(iter(records.values())).provenance.device
    baseline = regress.baseline_of(baselines, campaign.suite.name, campaign.preset, device)
    if record:
        print(f"stored {regress.store_baseline(campaign.jobs, campaign.store, baseline)} records in {baseline.root}")
        return
    findings = regress.check(campaign.jobs, campaign.store, baseline)
    if not findings:
        nothing = f"{title}: nothing was compared, as no baseline of {device} holds these jobs; `--record` stores one"
        if strict:
            raise UserError(nothing)
        print(f"warning: {nothing}", file=sys.stderr)
        return
    if junit:
        write_atomically(junit, gate.junit(title, findings))
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(gate.summary(title, findings))
    rows = [[f.where, f.what, f.before, f.now, f.verdict] for f in gate.notable(findings)]
    show(gate.HEADINGS, rows, as_json)
    print(f"\n{title}: {gate.tally(findings)}", file=sys.stderr if as_json else sys.stdout)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[Listable, typer.Argument(help="What to list.")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Tell all about this one of them.")] = None,
    as_json: Json = False,
) -> None:
    """List methods, datasets, networks, resources, executors or suites; with NAME, describe one with its options."""
    from stampbench.details import DETAILS

    if name is None:
        show(*LISTINGS[what](), as_json=as_json)
    else:
        show_details(DETAILS[what](name))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, devices and data, and say what is missing."""
    from stampbench.measure.doctor import examination

    if as_json:
        show(["subject", "finding"], list(examination()), as_json)
        return
    for subject, finding in examination():
        print(f"{subject:<24} {finding}", flush=True)


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _show_core(suites: Sequence[Suite], store: Store, preset: str | None = None) -> None:
    """Print the core of the tables of these suites, or of one preset of them, as far as there are records."""
    from stampbench.report.render.people import core_tables
    from stampbench.report.sections import preset_sections

    for suite in suites:
        for name in [preset] if preset else suite.presets:
            for table in core_tables(preset_sections(suite, name, store)):
                show_table(table)
