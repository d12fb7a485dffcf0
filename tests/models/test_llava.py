"""The LLaVA adapter against plain passes of transformers' own model and processor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from embedstore.errors import ModelError, PictureError, UnknownNameError
from embedstore.models import ANSWERING, load, load_answering
from embedstore.models.answering import Question
from embedstore.models.llava_adapter import LANGUAGE_MODELS, LlavaModel
from embedstore.models.llava_prompts import Prompter
from embedstore.models.llava_scoring import Tree, common_start
from embedstore.testing.llava import TINY, save_random_llava

FAMILIES = ("llava", "llava_next", "llava_onevision")
#: Of two questions each, of other lengths; the second picture's are not the first's.
QUESTIONS = (
    ("Is this a dog or a tabby cat?", ("dog", "tabby cat")),
    ("Is this a tabby cat or a dog?", ("tabby cat", "dog")),
    ("What is this?", ("a single cat", "word")),
    ("What is in the image, and what is it like?", ("a", "list of b")),
)
#: Heights and widths: of one tile and more, upright and lying, so that prefixes differ in length.
SIZES = ((40, 60), (70, 30), (33, 33), (90, 31))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small take 15 times as long on threads that wait for each other."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("llava")
    return {family: save_random_llava(folder / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def models(directories) -> dict[str, LlavaModel]:
    found = {f: load_answering(f"llava:{directory}") for f, directory in directories.items()}
    for model in found.values():
        model.to(torch.device("cpu"), torch.float32)
    return found  # type: ignore[return-value]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def asked(i: int) -> list[Question]:
    pair = QUESTIONS[:2] if i % 2 == 0 else QUESTIONS[2:]
    return [Question(*one) for one in pair]


def library_processor(family: str, directory: Path, model: LlavaModel) -> Any:
    """transformers' own processor, which counts the picture's tokens by itself."""
    parts = {
        "image_processor": transformers.AutoImageProcessor.from_pretrained(
            directory, backend="pil"
        ),
        "tokenizer": transformers.AutoTokenizer.from_pretrained(directory),
        "vision_feature_select_strategy": model.module.config.vision_feature_select_strategy,
    }
    if family == "llava_onevision":
        video = transformers.LlavaOnevisionVideoProcessor()
        return transformers.LlavaOnevisionProcessor(
            **parts, video_processor=video, num_image_tokens=16
        )
    kind = {"llava": "LlavaProcessor", "llava_next": "LlavaNextProcessor"}[family]
    return getattr(transformers, kind)(**parts, patch_size=7, num_additional_image_tokens=1)


@pytest.fixture(scope="module")
def plain(directories, models, pictures) -> dict[str, list[list[np.ndarray]]]:
    """Log-likelihoods by one forward pass over each whole sequence, by family and picture."""
    found: dict[str, list[list[np.ndarray]]] = {}
    for family in FAMILIES:
        processor = library_processor(family, directories[family], models[family])

        module = models[family].module
        found[family] = [
            [
                np.array([scored(module, processor, picture, q.text, o) for o in q.options])
                for q in asked(i)
            ]
            for i, picture in enumerate(pictures)
        ]
    return found


def scored(module: Any, processor: Any, picture: np.ndarray, question: str, option: str) -> float:
    prompt, image = f"USER: <image>\n{question} ASSISTANT:", Image.fromarray(picture)
    start = len(processor(text=prompt, images=image)["input_ids"][0])
    whole = processor(text=f"{prompt} {option}", images=image, return_tensors="pt")
    ids = whole["input_ids"][0]
    with torch.inference_mode():
        logits = module(**whole).logits[0].log_softmax(dim=-1)
    return sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids)))


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_plain_passes(models, pictures, plain, family, batch_size):
    model = models[family]
    for start in range(0, len(pictures), batch_size):
        rows = range(start, min(start + batch_size, len(pictures)))
        prepared = [model.prepare(pictures[i]) for i in rows]
        said = model.answer(prepared, [asked(i) for i in rows])
        for i, of_picture in zip(rows, said.likelihoods, strict=True):
            for likely, expected in zip(of_picture, plain[family][i], strict=True):
                np.testing.assert_allclose(likely.sums, expected, atol=1e-4)
                np.testing.assert_allclose(
                    likely.per_token, expected / likely.n_tokens, rtol=1e-5, atol=1e-4
                )
    # pictures and orders matter, or the comparison would say little
    assert len({round(float(o[0][0]), 2) for o in plain[family]}) == len(pictures)


#: Views of each of the four pictures, the whole among them.
TILES = {"llava": [1, 1, 1, 1], "llava_next": [5, 4, 5, 4], "llava_onevision": [5, 4, 5, 4]}


def test_the_tower_looks_once_at_each_tile(models, pictures):
    for family, n_tiles in TILES.items():
        model, seen = models[family], []
        tower = model.module.model.vision_tower
        hook = tower.register_forward_pre_hook(lambda _m, given, seen=seen: seen.append(given[0]))
        prepared = [model.prepare(picture) for picture in pictures]
        model.answer(prepared, [asked(i) for i in range(4)], layers=[1], max_tokens=3)
        hook.remove()
        assert [len(p.pixels) for p in prepared] == n_tiles
        assert [len(given) for given in seen] == [sum(n_tiles)]


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_what_the_towers_blocks_put_out(models, pictures, family):
    model = models[family]
    tower, kept = model.module.model.vision_tower, {}
    blocks = [m for name, m in tower.named_modules() if name.split(".")[-1].isdigit()]
    assert model.patch_shapes == ((4, 4, 32),) * len(blocks)
    hooks = [
        block.register_forward_hook(
            lambda _m, _given, out, i=i: kept.__setitem__(
                i, out if torch.is_tensor(out) else out[0]
            )
        )
        for i, block in enumerate(blocks)
    ]
    prepared = [model.prepare(picture) for picture in pictures]
    patches = model.answer(prepared, [[]] * 4, layers=[0, 2]).patches
    for hook in hooks:
        hook.remove()
    base = np.cumsum([0, *(len(p.pixels) for p in prepared)])[:-1]
    for layer, found in zip((0, 2), patches, strict=True):
        expected = kept[layer][base]
        if family != "llava_onevision":
            expected = expected[:, 1:]  # CLIP's class token; SigLIP has none
        assert found.shape == (4, 4, 4, 32)
        torch.testing.assert_close(found.reshape(4, 16, 32), expected)


@pytest.mark.parametrize("size", [28, 30])
@pytest.mark.parametrize("family", ["llava", "llava_onevision"])
def test_cells_are_the_pixels_of_a_patch(tmp_path, family, size):
    """Of 30 pixels the last two are in no patch of 7."""
    model = load_answering(
        f"llava:{save_random_llava(tmp_path, family, vision={'image_size': size})}"
    )
    convolution = next(m for m in model.module.modules() if isinstance(m, torch.nn.Conv2d))
    pixels = torch.zeros(1, 3, size, size, requires_grad=True)
    patches = convolution.float()(pixels)
    assert model.transform.size == (size, size)
    assert patches.shape[2:] == model.patch_shapes[-1][:2] == (4, 4)
    (cells,) = set(model.patch_cells)
    for i, j in ((0, 3), (3, 1)):
        (gradient,) = torch.autograd.grad(patches[0, :, i, j].sum(), pixels, retain_graph=True)
        rows, columns = torch.nonzero(gradient[0].abs().sum(dim=0), as_tuple=True)
        middle = [(float(n.min()) + float(n.max())) / 2 for n in (rows, columns)]
        along = zip(cells.first, cells.stride, (i, j), strict=True)
        assert middle == [first + n * stride for first, stride, n in along]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_texts_are_those_that_the_library_generates(directories, models, pictures, family):
    model, processor = (
        models[family],
        library_processor(family, directories[family], models[family]),
    )
    prepared = [model.prepare(picture) for picture in pictures]
    said = model.answer(prepared, [asked(i) for i in range(4)], max_tokens=6)
    for i, picture in enumerate(pictures):
        for question, text in zip(asked(i), said.texts[i], strict=True):
            prompt = f"USER: <image>\n{question.text} ASSISTANT:"
            given = processor(text=prompt, images=Image.fromarray(picture), return_tensors="pt")
            ids = model.module.generate(**given, max_new_tokens=6, do_sample=False)[0]
            new = ids[given["input_ids"].shape[1] :]
            assert text == processor.tokenizer.decode(new, skip_special_tokens=True).strip()
    # what was decoded first left the prefix as it was
    again = model.answer(prepared, [asked(i) for i in range(4)])
    for with_text, without in zip(said.likelihoods, again.likelihoods, strict=True):
        for a, b in zip(with_text, without, strict=True):
            np.testing.assert_allclose(a.sums, b.sums, atol=1e-5)


def test_an_answer_ends_where_the_model_ends_it(directories, models, pictures, monkeypatch):
    model = models["llava"]
    processor = library_processor("llava", directories["llava"], model)
    prompt = f"USER: <image>\n{QUESTIONS[0][0]} ASSISTANT:"
    given = processor(text=prompt, images=Image.fromarray(pictures[0]), return_tensors="pt")
    free = model.module.generate(**given, max_new_tokens=6, do_sample=False)[0]
    new = free[given["input_ids"].shape[1] :].tolist()
    monkeypatch.setattr(model, "_ends", [new[3]])
    said = model.answer([model.prepare(pictures[0])], [asked(0)], max_tokens=6).texts[0]
    expected = new[: new.index(new[3])]
    assert said[0] == processor.tokenizer.decode(expected, skip_special_tokens=True).strip()
    assert len(expected) > 0


def test_branches_of_a_tree_see_themselves_and_what_they_grow_from():
    tree = Tree.of([[10, 11], [20]], [[1, 2, 3], [4], [5, 6], [7]])
    assert tree.ids == [10, 11, 1, 2, 20, 5]  # an option's last token is read, never fed
    assert tree.depths == [0, 1, 2, 3, 0, 1]
    seen = {i: [tree.ids[j] for j in np.flatnonzero(row)] for i, row in enumerate(tree.visible)}
    assert seen == {
        0: [10], 1: [10, 11], 2: [10, 11, 1], 3: [10, 11, 1, 2], 4: [20], 5: [20, 5]
    }  # fmt: skip
    assert tree.reads == [
        (1, 1, 0), (2, 2, 0), (3, 3, 0), (1, 4, 1), (4, 5, 2), (5, 6, 2), (4, 7, 3)
    ]  # fmt: skip
    assert common_start([[1, 2, 3], [1, 2, 4]]) == 2
    assert common_start([[1, 2], [1, 2, 3]]) == 1  # each keeps a token of its own
    assert common_start([[5]]) == 0


def copied(directory: Path, target: Path, *without: str) -> Path:
    shutil.copytree(directory, target)
    for name in without:
        (target / name).unlink()
    return target


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (["preprocessor_config.json"], "holds no processor; copy"),
        (["tokenizer.json", "tokenizer_config.json"], "holds no tokenizer; copy tokenizer.json"),
        (["model.safetensors"], "the weights in .* cannot be used"),
        (["config.json"], "holds no config.json"),
    ],
)
def test_a_directory_that_lacks_a_part_is_one_line(directories, tmp_path, without, message):
    target = copied(directories["llava"], tmp_path / "lacking", *without)
    with pytest.raises(ModelError, match=message) as raised:
        load_answering(f"llava:{target}")
    assert "\n" not in str(raised.value)


def test_without_a_template_llava_15_has_one_and_says_so_and_others_are_refused(
    directories, models, tmp_path
):
    target = copied(directories["llava"], tmp_path / "plain", "chat_template.json")
    model = load_answering(f"llava:{target}")
    assert model.prompt == "USER: <image>\n{question} ASSISTANT:"
    assert "no chat template: questions are put as 'USER: <image>\\n" in model.notes[0]
    assert "\n" not in model.notes[0]
    assert model.identity == models["llava"].identity  # the same words, whoever puts them
    assert models["llava"].notes == ()
    for family in FAMILIES[1:]:
        target = copied(directories[family], tmp_path / family, "chat_template.json")
        with pytest.raises(ModelError, match=r"has no chat template; copy chat_template.jinja"):
            load_answering(f"llava:{target}")


def test_each_part_counts_in_the_identity(directories, models, tmp_path):
    expected = models["llava"].identity
    for n, (name, change, field) in enumerate(
        (
            (
                "chat_template.json",
                lambda c: {"chat_template": "Q " + c["chat_template"]},
                "template",
            ),
            ("preprocessor_config.json", lambda c: c | {"image_mean": [0.5] * 3}, "transform"),
            ("config.json", lambda c: c | {"vision_feature_layer": -1}, "architecture"),
        )
    ):
        target = copied(directories["llava"], tmp_path / str(n))
        content = json.loads((target / name).read_text())
        (target / name).write_text(json.dumps(change(content)))
        found = load_answering(f"llava:{target}").identity
        changed = {f for f in expected if found[f] != expected[f]}
        assert field in changed
        assert "weights" not in changed
    other = save_random_llava(tmp_path / "other", "llava", seed=1)
    found = load_answering(f"llava:{other}").identity
    assert {f for f in expected if found[f] != expected[f]} == {"weights"}


def test_weights_that_do_not_fill_the_model_are_refused(directories, tmp_path):
    from safetensors.torch import load_file, save_file

    target = copied(directories["llava"], tmp_path / "short")
    state = load_file(target / "model.safetensors")
    name = next(n for n in state if n.endswith("lm_head.weight"))
    del state[name]
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fit its architecture \('lm_head.weight' is miss"):
        load_answering(f"llava:{target}")


def test_other_language_models_and_kinds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(TINY, "llava", {"vision": "clip_vision_model", "language": "gemma"})
    target = save_random_llava(tmp_path / "gemma", "llava", language={"head_dim": 10})
    with pytest.raises(ModelError, match=f"choose one built on {', '.join(LANGUAGE_MODELS)}"):
        load_answering(f"llava:{target}")
    with pytest.raises(ModelError, match=r"answers questions and embeds no pictures.*--protocol"):
        load("llava:anything")
    with pytest.raises(UnknownNameError, match="choose one of: llava"):
        load_answering("timm:resnet50")
    assert list(ANSWERING) == ["llava"]
    with pytest.raises(UnknownNameError, match="option of llava models"):
        load_answering("llava:anything?precision=4")


@pytest.mark.parametrize(
    "limits",
    [
        {"sliding_window": 64},
        {"max_position_embeddings": 64},
        {"max_position_embeddings": 80, "sliding_window": 64},
        {"max_position_embeddings": 64, "sliding_window": 80},
    ],
)
def test_more_tokens_than_the_language_model_sees_are_refused(tmp_path, pictures, limits):
    target = save_random_llava(tmp_path / "short", "llava_next", language=limits)
    model = load_answering(f"llava:{target}")
    model.to(torch.device("cpu"), torch.float32)
    with pytest.raises(ModelError, match="sees 64 at most; choose a protocol with fewer"):
        model.answer([model.prepare(pictures[0])], [asked(0)])


def test_a_question_may_take_all_the_positions_that_there_are(
    directories, models, pictures, monkeypatch
):
    model = models["llava"]
    processor = library_processor("llava", directories["llava"], model)
    wholes = [
        processor(
            text=f"USER: <image>\n{question.text} ASSISTANT: {option}",
            images=Image.fromarray(pictures[0]),
        )["input_ids"][0]
        for question in asked(0)
        for option in question.options
    ]
    n_read = max(map(len, wholes)) - 1  # an option's last token is scored, never read
    monkeypatch.setattr(model, "_most", n_read)
    model.answer([model.prepare(pictures[0])], [asked(0)])
    monkeypatch.setattr(model, "_most", n_read - 1)
    with pytest.raises(ModelError, match=f"take {n_read} tokens, of which"):
        model.answer([model.prepare(pictures[0])], [asked(0)])


def test_a_picture_too_thin_to_be_resized_whole_is_one_failure(models):
    with pytest.raises(PictureError, match="too thin: 300 x 1 pixels"):
        models["llava"].prepare(np.zeros((1, 300, 3), np.uint8))
    assert models["llava"].prepare(np.zeros((1, 200, 3), np.uint8)).pixels.shape == (1, 3, 28, 28)


def test_half_precision_leaves_the_frequencies_of_positions_alone(directories, pictures, plain):
    model = load_answering(f"llava:{directories['llava']}")
    rotary = model.module.model.language_model.rotary_emb
    before = rotary.inv_freq.clone()
    model.to(torch.device("cpu"), torch.bfloat16)
    assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}
    assert rotary.inv_freq.dtype == torch.float32
    assert torch.equal(rotary.inv_freq, before)
    said = model.answer([model.prepare(pictures[0])], [asked(0)], layers=[1], max_tokens=2)
    for likely, sums in zip(said.likelihoods[0], plain["llava"][0], strict=True):
        np.testing.assert_allclose(likely.per_token, sums / likely.n_tokens, atol=0.15)


def test_options_are_the_tokens_that_they_add_to_the_prompt(models):
    prompter = models["llava"]._prompter
    tokens = prompter.tokens(Question("What is this?", ("dog", "dog cat")))
    vocabulary = prompter.tokenizer.convert_ids_to_tokens
    assert [vocabulary(list(o)) for o in tokens.options] == [["Ġdog"], ["Ġdog", "Ġcat"]]
    ended = Prompter(
        prompter.tokenizer, "<image>{{ messages[0]['content'][1]['text'] }}{{ '\\n' }}", 2
    )
    option = ended.tokens(Question("What is this?", ("dog",))).options[0]
    assert vocabulary(list(option)) == ["d", "o", "g"]  # a line's end wants no space
    without = Prompter(prompter.tokenizer, "no picture", 2)
    with pytest.raises(ModelError, match="puts 0 pictures"):
        without.tokens(Question("What is this?", ("dog",)))


def sentence_piece() -> transformers.PreTrainedTokenizerFast:
    """A tokenizer that puts a space before each text's first word, as Llama's does."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    words = ("▁What", "▁is", "▁dog", "▁ASSISTANT", "▁USER")
    merges = list(dict.fromkeys((w[:i], w[i]) for w in words for i in range(1, len(w))))
    letters = sorted({*"".join(words), *":?\n"})
    tokens = ["<s>", "</s>", "<image>", *letters, *(a + b for a, b in merges)]
    inner = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.add_special_tokens([AddedToken(t, special=True) for t in tokens[:3]])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>"
    )


@pytest.fixture(params=["bytes", "sentence-piece"])
def tokenizer(request, directories) -> Any:
    if request.param == "sentence-piece":
        return sentence_piece()
    return transformers.AutoTokenizer.from_pretrained(directories["llava"])


def test_what_follows_a_template_that_ends_in_a_space_brings_its_own(tokenizer):
    template = "USER: <image>{{ messages[0]['content'][1]['text'] }} ASSISTANT:"
    question = Question("What is?", ("dog", "dog dog"))
    plain = Prompter(tokenizer, template, 2)
    dog = tokenizer("What dog", add_special_tokens=False)["input_ids"][-1:]
    assert plain.tokens(question).options == (tuple(dog), tuple(dog * 2))
    for ending in (" ", "   "):
        spaced = Prompter(tokenizer, template + f"{{{{ '{ending}' }}}}", 2)
        assert spaced.tokens(question) == plain.tokens(question)
        assert spaced.prompt == plain.prompt


@pytest.mark.parametrize("template", [None, "<s>{{ messages[0]['content'][1]['text'] }}<image>A:"])
def test_an_end_that_the_tokenizer_puts_behind_a_text_is_not_read(tokenizer, template):
    from tokenizers.processors import TemplateProcessing

    question, found = Question("What is?", ("dog", "dog is")), []
    for single in ("<s> $A", "<s> $A </s>"):
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=single, special_tokens=[("<s>", 0), ("</s>", 1)]
        )
        prompter = Prompter(tokenizer, template, 2)
        found.append((prompter.tokens(question), prompter.digest()))
    assert tokenizer("dog")["input_ids"][-1] == 1
    assert found[0] == found[1]
    assert found[0][0].before[:1] == (0,)


def test_an_end_that_a_template_writes_out_is_read(models):
    tokenizer = models["llava"]._prompter.tokenizer
    template = "<image>{{ messages[0]['content'][1]['text'] }}</s>"
    assert Prompter(tokenizer, template, 2).tokens(Question("A?", ("dog",))).after[-1] == 1


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_scores_on_a_gpu_are_those_of_plain_passes(directories, pictures, plain, family, precision):
    model = load_answering(f"llava:{directories[family]}")
    model.to(torch.device("cuda"), getattr(torch, precision))
    prepared = [model.prepare(picture) for picture in pictures]
    said = model.answer(prepared, [asked(i) for i in range(4)], layers=[2], max_tokens=3)
    tolerance = {"float32": 1e-2, "float16": 0.2, "bfloat16": 1.5}[precision]  # sums of ten tokens
    for found, expected in zip(said.likelihoods, plain[family], strict=True):
        for likely, sums in zip(found, expected, strict=True):
            np.testing.assert_allclose(likely.sums, sums, atol=tolerance)
