"""What an evaluation writes into the model's card, and what it leaves alone."""

import fake_results
import pytest

from pipelines import store
from pretrain.judge import card

OWN = "---\nlanguage:\n- sw\n---\n\n# A BERT\n\nWritten by hand.\n"


@pytest.fixture
def model(tmp_path):
    folder = store.Folder(tmp_path / "model")
    files = [
        folder.write_bytes("README.md", OWN.encode()),
        folder.write_bytes("config.json", b"{}"),
    ]
    store.write_manifest(
        folder,
        artefact="export",
        fingerprint=store.fingerprint(sorted([file.name, file.sha256] for file in files)),
        counts={"step": 3},
        files=files,
        vocab_hash="abc",
    )
    return folder


def text_of(folder):
    return folder.read_bytes("README.md").decode()


def test_the_section_comes_after_what_was_there(model):
    card.append(model, fake_results.many())
    assert text_of(model).startswith(OWN.rstrip() + "\n\n" + card.BEGIN)
    assert text_of(model).endswith(card.END + "\n")


def test_a_second_evaluation_replaces_the_first_and_leaves_the_rest(model):
    card.append(model, fake_results.many())
    with_more = text_of(model) + "\nAdded below.\n"
    model.write_bytes("README.md", with_more.encode())
    facts = fake_results.results_of({"topics": fake_results.task_of("classify", ("swh_Latn",))})
    card.append(model, facts)
    found = text_of(model)
    assert found.count(card.BEGIN) == found.count(card.END) == 1
    assert found.startswith(OWN.rstrip()) and found.endswith("\nAdded below.\n")
    assert "topics" in found and "sib200" not in found


def test_the_same_results_leave_the_same_bytes(model):
    card.append(model, fake_results.many())
    first = {name: model.read_bytes(name) for name in model.names()}
    card.append(model, fake_results.many())
    assert {name: model.read_bytes(name) for name in model.names()} == first


def test_the_manifest_lists_the_card_as_it_is_and_keeps_what_it_knew(model):
    before = store.read_manifest(model, artefact="export")
    card.append(model, fake_results.many())
    assert store.verify(model, artefact="export") == []
    after = store.read_manifest(model, artefact="export")
    assert after["counts"] == {"step": 3} and after["vocab_hash"] == "abc"
    files = store.listed(after)
    of_files = store.fingerprint(sorted([file.name, file.sha256] for file in files))
    assert before["fingerprint"] != after["fingerprint"] == of_files


def test_a_fingerprint_of_what_a_model_was_made_from_stays(model):
    manifest = model.read_json("manifest.json") | {"artefact": "tuned", "fingerprint": "of inputs"}
    model.write_json("manifest.json", manifest)
    card.append(model, fake_results.many())
    assert store.read_manifest(model, artefact="tuned")["fingerprint"] == "of inputs"


def test_a_folder_of_others_gets_a_card_and_no_manifest(tmp_path):
    folder = store.Folder(tmp_path)
    card.append(folder, fake_results.many())
    assert folder.names() == ["README.md"]
    assert text_of(folder).startswith(card.BEGIN)


def test_bytes_that_are_no_text_come_out_as_they_went_in(tmp_path):
    folder = store.Folder(tmp_path)
    folder.write_bytes("README.md", b"\xff\xfe caf\xe9\n")
    card.append(folder, fake_results.many())
    assert folder.read_bytes("README.md").startswith(b"\xff\xfe caf\xe9\n")


def test_a_marker_whose_end_is_lost_swallows_nothing(model):
    model.write_bytes("README.md", f"{OWN}{card.BEGIN}\nkept\n".encode())
    card.append(model, fake_results.many())
    card.append(model, fake_results.many())
    assert "kept" in text_of(model)
    assert text_of(model).count(card.END) == 1


def test_the_worst_language_comes_first_and_the_rest_is_folded_away(model):
    card.append(model, fake_results.many())
    lines = text_of(model).splitlines()
    first = next(line for line in lines if line.startswith("| Santali"))
    assert first.startswith("| Santali | `sat_Olck` | 47.8<br>42.9–52.7 | (+1.0)<br>−5.4 to +7.4 |")
    assert "<summary>The other 34 languages</summary>" in lines
    assert "- In sib200: not surely above random weights in 2 of 54 languages" in text_of(model)


def test_names_cannot_act_as_markup():
    facts = fake_results.results_of({"<b>|x": fake_results.task_of("classify", ("swh_Latn",))})
    assert "<b>" not in card.section(facts)
    assert "\\<b\\>\\|x" in card.section(facts)
