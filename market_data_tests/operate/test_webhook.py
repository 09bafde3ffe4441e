"""A message reaches the address, or is told to have failed; neither the address nor the key is told to anybody."""

import logging

import pytest

from market_data.errors import AlertUndelivered
from market_data.operate.webhook import post_message
from market_data_tests.receiver import TOKEN, receive

pytestmark = pytest.mark.usefixtures("retries_without_waits")


def test_a_message_is_sent_again_until_it_is_taken_and_never_holds_the_key() -> None:
    with receive(answers=[503, 429]) as receiver:
        post_message(receiver.url, {"text": "key s3cret-key refused"}, key="s3cret-key")
    assert receiver.messages == [{"text": "key *** refused"}] * 3


@pytest.mark.parametrize(("answer", "sent"), [(404, 1), (302, 1), (500, 5)])
def test_a_refusal_is_told_without_the_address(answer: int, sent: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receive(answers=[answer] * 9) as receiver, pytest.raises(AlertUndelivered, match=str(answer)) as caught:
        post_message(receiver.url, {})
    assert len(receiver.bodies) == sent
    assert TOKEN not in f"{caught.value!r}{caught.value.__cause__!r}{caplog.text}"


@pytest.mark.parametrize("url", [f"http://127.0.0.1:9/{TOKEN}", f"http://[{TOKEN}/"])
def test_an_address_without_anybody_is_told_without_the_address(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AlertUndelivered, match="the connection failed") as caught:
        post_message(url, {})
    assert TOKEN not in f"{caught.value!r}{caught.value.__cause__!r}{caplog.text}"
