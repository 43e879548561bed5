"""The condition language: text -> tree. Own recursive descent, bounded in depth and count; every mistake has its place.

    or     := and { "or" and }                 and   := not { "and" not }        not := "not" not | order
    order  := sum [ (< <= > >= == !=) sum ]    sum   := product { (+ -) product }
    product := sign { (* /) sign }             sign  := "-" sign | atom
    atom   := number | true | false | 'LABEL' | signal | function | "(" or ")"

Functions: min max mean rate (value, window); held (condition, time); missing (signal, time); rising falling (condition);
changed abs (value); event ('channel', signal), both optional; mode ('LABEL'). Pure. docs/campaigns.md says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from vantel.campaign.limits import DEPTH_MAX, NODES_MAX, WINDOW_S_MAX, CampaignError
from vantel.campaign.words import Word, words_of

WINDOWED = ("min", "max", "mean", "rate")
TIMED = (*WINDOWED, "held", "missing")
PLAIN = ("rising", "falling", "changed", "abs")
FUNCTIONS = (*TIMED, *PLAIN, "event", "mode")
ORDERS = ("<", "<=", ">", ">=", "==", "!=")


@dataclass(frozen=True, slots=True)
class Node:
    """op: number, boolean, label, signal, an operator or a function. text: name or label. value: number or seconds."""

    op: str
    at: int
    args: tuple[Node, ...] = ()
    text: str = ""
    value: float = 0.0


def parse(text: str) -> Node:
    """The tree of a condition; CampaignError with reason syntax, too_deep, too_many or window."""
    parser = _Parser(words_of(text))
    tree = parser.alternatives(0)
    rest = parser.next
    if rest.kind != "end":
        raise CampaignError("syntax", f"{_shown(rest)} follows a condition that was complete", rest.at)
    return tree


class _Parser:
    def __init__(self, words: list[Word]) -> None:
        self._words = words
        self._place = 0
        self._nodes = 0

    @property
    def next(self) -> Word:
        return self._words[self._place]

    def _take(self) -> Word:
        word = self.next
        self._place += word.kind != "end"
        return word

    def _takes(self, *texts: str) -> Word | None:
        if self.next.kind in ("operator", "keyword") and self.next.text in texts:
            return self._take()
        return None

    def _need(self, text: str, after: str) -> None:
        if self._takes(text) is None:
            raise CampaignError(
                "syntax", f"{text!r} is missing {after}, found {_shown(self.next)}", self.next.at
            )

    def _node(self, op: str, at: int, *args: Node, text: str = "", value: float = 0.0) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise CampaignError("too_many", f"more than {NODES_MAX} operators, names and numbers", at)
        return Node(op, at, args, text, value)

    def _deeper(self, depth: int, at: int) -> int:
        if depth >= DEPTH_MAX:
            raise CampaignError("too_deep", f"more than {DEPTH_MAX} levels within one another", at)
        return depth + 1

    def alternatives(self, depth: int) -> Node:
        left = self._together(depth)
        while (word := self._takes("or")) is not None:
            left = self._node("or", word.at, left, self._together(depth))
        return left

    def _together(self, depth: int) -> Node:
        left = self._negation(depth)
        while (word := self._takes("and")) is not None:
            left = self._node("and", word.at, left, self._negation(depth))
        return left

    def _negation(self, depth: int) -> Node:
        if (word := self._takes("not")) is not None:
            return self._node("not", word.at, self._negation(self._deeper(depth, word.at)))
        return self._order(depth)

    def _order(self, depth: int) -> Node:
        left = self._sum(depth)
        if (word := self._takes(*ORDERS)) is None:
            return left
        node = self._node(word.text, word.at, left, self._sum(depth))
        if (second := self._takes(*ORDERS)) is not None:
            raise CampaignError("syntax", "two comparisons in a row; join them with 'and'", second.at)
        return node

    def _sum(self, depth: int) -> Node:
        left = self._product(depth)
        while (word := self._takes("+", "-")) is not None:
            left = self._node(word.text, word.at, left, self._product(depth))
        return left

    def _product(self, depth: int) -> Node:
        left = self._sign(depth)
        while (word := self._takes("*", "/")) is not None:
            left = self._node(word.text, word.at, left, self._sign(depth))
        return left

    def _sign(self, depth: int) -> Node:
        if (word := self._takes("-")) is not None:
            return self._node("negative", word.at, self._sign(self._deeper(depth, word.at)))
        return self._atom(depth)

    def _atom(self, depth: int) -> Node:
        word = self._take()
        if word.kind == "number":
            return self._node("number", word.at, value=word.value)
        if word.kind == "duration":
            raise CampaignError(
                "syntax", f"a time ({word.text}) belongs into a function, behind a comma", word.at
            )
        if word.kind == "keyword" and word.text in ("true", "false"):
            return self._node("boolean", word.at, value=float(word.text == "true"))
        if word.kind == "label":
            return self._node("label", word.at, text=word.text)
        if word.kind == "quoted" or (word.kind == "name" and self.next.text != "("):
            return self._node("signal", word.at, text=word.text)
        if word.kind == "name":
            return self._function(word, self._deeper(depth, word.at))
        if word.text == "(":
            inner = self.alternatives(self._deeper(depth, word.at))
            self._need(")", "at the end of the parenthesis")
            return inner
        raise CampaignError("syntax", f"a value or '(' is expected here, found {_shown(word)}", word.at)

    def _function(self, word: Word, depth: int) -> Node:
        if word.text not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise CampaignError("syntax", f"no function {word.text!r}; there are {known}", word.at)
        self._take()
        if word.text in ("event", "mode"):
            return self._labelled(word)
        value = self.alternatives(depth)
        seconds = 0.0
        if word.text in TIMED:
            self._need(",", f"before the time of {word.text}")
            seconds = self._duration(word.text)
        self._need(")", f"at the end of {word.text}")
        return self._node(word.text, word.at, value, value=seconds)

    def _duration(self, name: str) -> float:
        word = self._take()
        if word.kind != "duration":
            raise CampaignError(
                "syntax", f"{name} wants a time such as 2 s, 300 ms or 1 min, found {_shown(word)}", word.at
            )
        if not 0 < word.value <= WINDOW_S_MAX:
            raise CampaignError("window", f"{word.text} is not within 0 and {WINDOW_S_MAX:.0f} s", word.at)
        return word.value

    def _labelled(self, word: Word) -> Node:
        """event() event('rate') event('rate', Vehicle.Speed) mode('MANUAL')."""
        label, signal = "", None
        if self.next.kind == "label":
            label = self._take().text
            if word.text == "event" and self._takes(",") is not None:
                named = self._take()
                if named.kind not in ("name", "quoted"):
                    raise CampaignError(
                        "syntax", f"event wants a signal here, found {_shown(named)}", named.at
                    )
                signal = self._node("signal", named.at, text=named.text)
        elif word.text == "mode":
            raise CampaignError(
                "syntax", f"mode wants a label such as 'MANUAL', found {_shown(self.next)}", self.next.at
            )
        self._need(")", f"at the end of {word.text}")
        return self._node(word.text, word.at, *([signal] if signal is not None else []), text=label)


def _shown(word: Word) -> str:
    return "the end" if word.kind == "end" else repr(word.text)
