"""Decisions as vlm_shapebias writes them: one file a model (github.com/paulgavrikov/vlm_shapebias).

Columns `image, response, pred_label` and, of some models, `pred_conf`. `response` is what the model
said, such as a letter; `pred_label` the class that it stands for.
"""

from __future__ import annotations

#: Id, decision, confidence.
COLUMNS = ("image", "pred_label", "pred_conf")
#: The answer names no class.
NO_CLASS = "na"
#: What the model said.
ANSWER = "response"
