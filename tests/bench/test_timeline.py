"""Where a start's seconds went: read from its log."""

from bench import table, timeline

STOCK = [
    (16.3, "(APIServer pid=1) INFO [api_utils.py:273] non-default args: {}"),
    (18.0, "(APIServer pid=1) INFO [kernel.py:292] Final IR op priority"),
    (20.2, "prewarm: 20 s: starting the engine"),
    (30.0, "(EngineCore pid=2) INFO [core.py:114] Initializing a V1 LLM engine (v0.25.1)"),
    (31.0, "(EngineCore pid=2) INFO [model_runner.py:281] Loading model from scratch..."),
    (31.5, "(EngineCore pid=2) INFO [default_loader.py:430] Loading weights took 0.4 seconds"),
    (32.0, "(EngineCore pid=2) INFO [model_runner.py:302] Model loading took 1.9 GiB"),
    (40.0, "(EngineCore pid=2) INFO [core.py:337] init engine (profile, ...) took 9 s"),
    (42.0, "(APIServer pid=1) INFO:     Waiting for application startup."),
]


def test_the_phases_touch_and_add_up() -> None:
    """What no mark ends belongs to the next phase that one does."""
    found = timeline.phases(STOCK, opened=45.0)

    assert [(phase.name, phase.end) for phase in found] == [
        ("imports", 16.3),
        ("configuration", 18.0),
        ("engine process", 30.0),
        ("device", 31.0),
        ("model", 32.0),
        ("graphs and warm-up of vLLM", 40.0),
        ("application", 42.0),
        ("warm-up", 45.0),
    ]
    assert [phase.begin for phase in found] == [0.0, *(phase.end for phase in found[:-1])]


def start(variant: str, opened: float, machine: str = "here") -> table.Start:
    """Return a start as cold_start.py writes it, with nothing asked."""
    facts = {"machine": machine, "device": "a GPU", "vllm": "0.25.1", "counted": True}
    return {**facts, "variant": variant, "round": 0, "open": opened, "phases": {"imports": opened}}


def test_a_table_compares_medians_with_its_first_two_variants() -> None:
    """The ratios are of the seconds until the port answered."""
    shown = table.tables([start("a", 100), start("b", 50), start("b", 60), start("b", 40)])

    assert "until open / a                        1.00            0.50" in shown
    assert "until open / b                        2.00            1.00" in shown


def test_two_machines_are_never_compared() -> None:
    """Each has a table of its own."""
    shown = table.tables([start("a", 100), start("b", 50, machine="there")])

    assert shown.count("until open, s") == 2
    assert "0.50" not in shown
