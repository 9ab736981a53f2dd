"""Handlers that recipes of several tests name: the text of their files."""

_HANDLER = """\
class Handler:
    def load(self, model_dir):
        pass

    def __call__(self, inputs):
        return {answer}
"""
EMPTY = _HANDLER.format(answer="{}")
SHOUT = _HANDLER.format(answer='{"text": inputs["text"].upper()}')
