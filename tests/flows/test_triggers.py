from flows.triggers import Candidate, choose

ANY = Candidate("t1", "f1", ("pedido",))
HERE = Candidate("t2", "f2", ("pedido",), account_id="here")
THERE = Candidate("t3", "f3", ("pedido",), account_id="there")
LONG = Candidate("t4", "f4", ("meu pedido",))


def winner(*candidates, text="pedido"):
    decision = choose(candidates, text, "here")
    return decision.winner.id if decision.winner else None


def test_a_phrase_is_recognised_without_case_accents_or_signs():
    assert winner(Candidate("t", "f", ("Segunda Via",)), text="  segunda VÍA!!") == "t"


def test_a_phrase_stands_in_the_message_as_whole_words():
    assert winner(ANY, text="Oi,meu pedido-por favor") == "t1"
    assert winner(ANY, text="pedidos") is None


def test_a_trigger_of_this_channel_beats_one_of_any_channel():
    assert winner(LONG, ANY, HERE, text="meu pedido") == "t2"


def test_a_trigger_of_another_channel_never_wins():
    assert winner(THERE) is None


def test_a_longer_phrase_beats_a_shorter_and_an_older_a_younger():
    assert winner(ANY, LONG, text="meu pedido") == "t4"
    assert winner(ANY, Candidate("t9", "f9", ("pedido",))) == "t1"


def test_the_decision_says_why_the_others_lost():
    decision = choose([ANY, HERE, THERE, LONG], "pedido", "here")
    verdicts = {reason.candidate_id: (reason.verdict, reason.detail) for reason in decision.reasons}
    assert verdicts == {
        "t1": ("outranked", "the winner is for this channel"),
        "t2": ("won", ""),
        "t3": ("other_channel", ""),
        "t4": ("no_match", ""),
    }


def test_an_empty_phrase_starts_nothing():
    assert winner(Candidate("t", "f", ("", "  ")), text="") is None
    assert winner(Candidate("t", "f", ()), text="oi") is None


def test_an_emoji_can_be_a_phrase():
    assert winner(Candidate("t", "f", ("👍",)), text=" 👍 ") == "t"
