from tests.benchmarks.pages import put_section


def test_a_device_has_one_section_and_the_others_keep_theirs(tmp_path):
    page = tmp_path / "page.md"
    put_section(page, "# A page\n\nWhat it is.", "this CPU", "first")
    put_section(page, "# Another head", "that CPU", "| other |\n")
    put_section(page, "# A page", "this CPU", "second\n")
    assert page.read_text() == "# A page\n\nWhat it is.\n\n## that CPU\n\n| other |\n\n## this CPU\n\nsecond\n"
