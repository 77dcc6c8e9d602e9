"""Everything is right but three times slower: judged against the contract's response time, with the baseline beside it."""

from __future__ import annotations

import pytest

from tests.trials import Trials

pytestmark = pytest.mark.root


def test_slow_after_update(trials: Trials) -> None:
    contract = trials.site.shop.inventory / "contract.yml"
    text = contract.read_text(encoding="utf-8")
    # The post has a response time, the front page has none.
    promised = text.replace("text: [LAB-1]\n", "text: [LAB-1]\n        max_seconds: 1.5\n")
    assert promised != text
    contract.write_text(promised, encoding="utf-8")
    try:
        reason = trials.held("2.15")
    finally:
        contract.write_text(text, encoding="utf-8")

    assert reason.startswith("a post: took 2.")
    assert "s, and the contract allows 1.5 s (" in reason
    assert reason.endswith("s before)")
