"""What is asked, and what answers mean."""

from __future__ import annotations

from collections import Counter

import pytest

from embedstore.encode.answers.questions import Asked, Asker, Questions, find_protocol
from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError

NAMES = ("dog", "hot dog", "tabby cat", "fire truck", "ice cream")


def asker(protocol: str, names=NAMES) -> Asker:
    return Asker(find_protocol(protocol), names, "data")


def test_two_options_are_put_in_both_orders():
    first, second = asker("two-options").ask("some/id", 2, 0)
    assert (first.classes, second.classes) == ((2, 0), (0, 2))
    assert first.question.options == first.names == ("tabby cat", "dog")
    assert first.question.text == (
        "What is the main object in this image? Choose from the following list: tabby cat, dog.\n"
        "Answer the question using a single word or phrase."
    )
    assert second.question.text == first.question.text.replace("tabby cat, dog", "dog, tabby cat")


def test_letters_stand_for_all_classes_in_their_order():
    (only,) = asker("letters-5").ask("any", None)
    assert only.question.options == ("A", "B", "C", "D", "E")
    assert (only.names, only.classes) == (NAMES, (0, 1, 2, 3, 4))
    assert "\nA. dog\nB. hot dog\nC. tabby cat\n" in only.question.text
    with pytest.raises(DatasetError, match=r"has 5 classes where protocol 'letters-4' offers 4"):
        asker("letters-4")
    with pytest.raises(DatasetError, match=r"has only 2 names where protocol 'letters-3'"):
        asker("letters-3", ("crane", "maillot", "Crane"))


def test_distractors_are_drawn_by_the_sample_alone_evenly_and_reversed():
    names = [f"class {c}" for c in range(40)]
    four = asker("n-way-4", names)
    seen, places = Counter(), Counter()
    for i in range(2000):
        first, second = four.ask(f"sample {i}", 7)
        assert first.classes == second.classes[::-1]
        assert len(set(first.classes)) == 4
        assert 7 in first.classes
        seen.update(first.classes)
        places[first.classes.index(7)] += 1
        assert four.ask(f"sample {i}", 7) == [first, second]
    assert seen[7] == 2000
    # 3 of 39 classes in 2,000 draws: 154 each, within five standard deviations
    assert all(abs(seen[c] - 153.8) < 60 for c in range(40) if c != 7)
    assert all(abs(n - 500) < 100 for n in places.values())
    # whoever draws, on whatever version of whatever library
    assert four.ask("n01440764/10026", 7)[0].classes == GOLDEN


#: Drawn once; a change of it is another protocol, and wants another `questions.VERSION`.
GOLDEN = (7, 10, 37, 0)


def test_classes_of_one_name_never_compete():
    names = ["crane", "maillot", "Crane", "heron"]
    assert asker("two-options", names).alike(0) == [0, 2]
    for i in range(50):
        classes = asker("n-way-3", names).ask(f"{i}", 2)[0].classes
        assert set(classes) == {1, 2, 3}
        classes = asker("n-way-2", names).ask(f"{i}", 1)[0].classes
        assert not {0, 2} <= set(classes)
    with pytest.raises(DatasetError, match="has 3 classes of different names, fewer than"):
        asker("n-way-4", names)
    with pytest.raises(DatasetError, match="has no classes to ask about; give it labels"):
        asker("two-options", ())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("dog", 0),
        ("A DOG.", 0),
        ("It is a hot  dog, I think", 1),  # the longer name alone
        ("the dog, not the hot dog", None),  # both
        ("hot-dog", 1),
        ("a _hot_dog_", 1),
        ("None of them: there is no dog.", None),
        ("dogs", None),  # another word
        ("hotdog", None),
        ("", None),
        ("I cannot say", None),
    ],
)
def test_a_text_names_one_option_or_none(text, place):
    first = asker("two-options").ask("any", 0, 1)[0]
    assert first.place(text) == place


def test_a_hyphen_is_a_space_in_names_and_texts():
    names = ("sea-lion", "lion", "T_shirt")
    asked = asker("n-way-3", names).ask("any", 0)[0]
    for text, name in (("sea lion", 0), ("a Sea-Lion.", 0), ("lion", 1), ("t-shirt", 2)):
        assert asked.place(text) == asked.names.index(names[name]), text
    assert asked.place("sea lion or lion") is None
    dashed = asker("two-options", ("-", "dog")).ask("any", 0, 1)[0]
    assert (dashed.place("it is, as seen, a dog"), dashed.place("-")) == (1, 0)
    # names that no text could tell apart never compete
    alike = asker("n-way-2", ("sea-lion", "Sea lion", "crane"))
    assert alike.alike(0) == [0, 1]
    assert all(2 in alike.ask(f"{i}", 0)[0].classes for i in range(20))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("B.", 1),
        ("(C)", 2),
        ("C: tabby cat", 2),
        ("D) because of the ladder", 3),
        ("A fire truck", 3),  # an article, no letter
        ("The answer is tabby cat.", 2),
        ("a", None),
        ("F", None),  # no such option
        ("B or C", None),
        ("dog or tabby cat", None),
        ("", None),
    ],
)
def test_a_text_names_one_letter_or_none(text, place):
    only = asker("letters-5").ask("any", None)[0]
    assert isinstance(only, Asked)
    assert only.place(text) == place


SIXTEEN = (
    "airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat", "chair", "clock", "dog",
    "elephant", "keyboard", "knife", "oven", "truck",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # several letters, or a letter and another name
        ("A, B", None),
        ("(A) or (B)", None),
        ("A) and B)", None),
        ("A. or B", None),
        ("A.\nB.", None),
        ("A or B", None),
        ("B and A", None),
        ("A B", None),
        ("B/C", None),
        ("I, J", None),
        ("A, I", None),
        ("A: airplane, B: bear", None),
        ("A. bear", None),
        ("airplane (B)", None),
        ("I: none", None),
        # one letter, wherever and however it is put
        ("A", "airplane"),
        ("A.", "airplane"),
        ("(A)", "airplane"),
        ("'A'", "airplane"),
        ("**A**", "airplane"),
        ("I.", "chair"),
        ("K) dog", "dog"),
        ("A, airplane", "airplane"),
        ("A - airplane", "airplane"),
        ("B. A bear", "bear"),
        ("B. I see a bear", "bear"),
        ("Answer: B", "bear"),
        ("The answer is B.", "bear"),
        ("The answer is A", "airplane"),
        ("A is right", "airplane"),
        # the article and the pronoun
        ("A dog", "dog"),
        ("I, personally, see a dog", "dog"),
        ("I'm sure of the dog", "dog"),
        ("I cannot see it", None),
    ],
)
def test_of_sixteen_letters_a_and_i_may_be_words(text, name):
    only = asker("letters-16", SIXTEEN).ask("any", None)[0]
    assert only.place(text) == (None if name is None else SIXTEEN.index(name))


def test_a_letter_within_a_name_or_that_is_a_name_is_read_as_what_was_offered():
    (only,) = asker("letters-3", ("vitamin C", "T-shirt", "crane")).ask("any", None)
    assert (only.place("A. vitamin C"), only.place("vitamin C"), only.place("C")) == (0, 0, 2)
    (letters,) = asker("letters-3", ("c", "b", "a")).ask("any", None)
    assert (letters.place("A"), letters.place("A. c"), letters.place("none")) == (0, 0, None)


def test_what_a_user_asks_for_is_checked_before_anything_is_loaded():
    two = Questions.of("two-options", "clip@prompts@2--imagenet", "likelihood")
    assert two.reference == ("clip@prompts", "2--imagenet")
    assert (two.name, two.max_tokens) == ("two-options", 0)
    greedy = Questions.of("letters-16", None, "greedy")
    assert (greedy.name, greedy.protocol.name) == ("letters-16-greedy", "letters-16")
    assert greedy.max_tokens > 0
    for given, message in (
        (("two-options", None, "likelihood"), "needs a reference head; add --reference-head"),
        (("n-way-4", "a@b", "likelihood"), "has no use for a reference head; drop"),
        (("two-options", "clip", "likelihood"), "is not MODEL@HEAD; write for example"),
        (("letters-27", None, "likelihood"), "offers 27 options; give N from 2 to 26"),
        (("n-way-1", None, "likelihood"), "offers 1 options; give N 2 or more"),
    ):
        with pytest.raises(EmbedStoreError, match=message):
            Questions.of(*given)
    with pytest.raises(UnknownNameError, match="choose one of: letters-N, n-way-N, two-options"):
        find_protocol("three-options")
    with pytest.raises(UnknownNameError, match="choose one of: greedy, likelihood"):
        Questions.of("letters-16", None, "beam")
