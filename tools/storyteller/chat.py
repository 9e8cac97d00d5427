# SPDX-License-Identifier: Apache-2.0
"""The chat template, and conversations made from the stories: a request that names the story's subject, then the story.

`render` and TEMPLATE say the same thing, once for training and once for everyone who loads the model; evaluate.py
checks that they agree.
"""

import re

import numpy as np

END_OF_TEXT, USER, ASSISTANT, END = SPECIAL_TOKENS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]

# A system message becomes the beginning of the first request.
TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' -%}"
    "{%- set system = (messages[0]['content'] | trim) + '\\n\\n' -%}{%- set turns = messages[1:] -%}"
    "{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}"
    "{%- for message in turns -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{- '<|user|>' + (system if loop.first else '') + (message['content'] | trim) + '<|end|>' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' + (message['content'] | trim) + '<|end|>' -}}"
    "{%- else -%}{{- raise_exception('the roles are user and assistant, and system for the first message') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}")

SYSTEM_SHARE, SECOND_TURN_SHARE, SMALL_TALK_SHARE = 0.15, 0.25, 0.04

SYSTEM_MESSAGES = [
    "You are a storyteller.",
    "You are a helpful assistant.",
    "You tell short stories for small children.",
    "You are a kind storyteller. Use simple words.",
]
SUBJECT_REQUESTS = [
    "Tell me a story about {}.",
    "tell me a story about {}",
    "Please tell me a story about {}.",
    "Can you tell me a story about {}?",
    "Write a short story about {}.",
    "I would like to hear a story about {}.",
    "A story about {}, please.",
    "Do you know a story about {}?",
]
OPEN_REQUESTS = [
    "Tell me a story.",
    "Tell me a short story.",
    "Please tell me a bedtime story.",
    "Can you tell me a story?",
    "Write a story for a small child.",
]
CONTINUE_REQUESTS = [
    "Continue this story: {}",
    "How does this story go on? {}",
    "Finish this story: {}",
]
NEXT_REQUESTS = ["Thank you! {}", "That was nice. {}", "Another one! {}", "I liked that. {}"]
SMALL_TALK = [
    ("Hello!", "Hello! I am a little storyteller. What shall my story be about?"),
    ("Hi", "Hi! Shall I tell you a story? Tell me who should be in it."),
    ("Good morning.", "Good morning! It is a fine day for a story. What shall it be about?"),
    ("How are you?", "I am happy, thank you. I would love to tell you a story."),
    ("Who are you?", "I am Storyteller, a small language model that tells stories for children."),
    ("What is your name?", "My name is Storyteller. I tell short stories."),
    ("What can you do?", "I can tell short stories. Ask me for a story about a cat, a girl, a boat or a king."),
    ("Can you help me?", "I am small and I only know stories. I can tell you one if you like."),
    ("Thank you!", "You are welcome! Would you like to hear another story?"),
    ("That was a nice story.", "Thank you! I am glad that you liked it. Shall I tell you another one?"),
    ("I am sad.", "I am sorry that you are sad. Maybe a story can cheer you up. What shall it be about?"),
    ("Good night!", "Good night! Sleep well and have sweet dreams."),
    ("Goodbye", "Goodbye! Come back soon for another story."),
]

INTRODUCED = re.compile(r"\bthere (?:was|lived|were) ((?:an?|two|three|some) [a-z][\w' -]*?)(?= who| that| and|[.!])")
NAMED = re.compile(r"\b(an? (?:[a-z]+ ){1,3}(?:named|called) [A-Z][a-z]+)")
NAMED_PAIR = re.compile(r"^([A-Z][a-z]+ and [A-Z][a-z]+) (?:were|was|are|liked|like|wanted|went|had|love|loved|play)\b")
NOUN = re.compile(r"\bthe ([a-z]{3,})[.,!]")


def render(messages: list[dict]) -> str:
    """The conversation in the form of TEMPLATE."""
    text, system = "", ""
    for message in messages:
        content = message["content"].strip()
        if message["role"] == "system":
            system = content + "\n\n"
        elif message["role"] == "user":
            text += USER + system + content + END
            system = ""
        else:
            text += ASSISTANT + content + END
    return text


def subjects(story: str) -> list[str]:
    """What the story is about: who its first sentences introduce, and the nouns that it keeps coming back to."""
    opening = story[:200]
    found = INTRODUCED.findall(opening) + NAMED.findall(opening) + NAMED_PAIR.findall(opening)
    for noun in sorted(set(NOUN.findall(story))):
        if len(re.findall(rf"\b{noun}\b", story)) >= 3:
            article = "" if noun.endswith("s") else "an " if noun[0] in "aeiou" else "a "
            found.append(article + noun)
    return list(dict.fromkeys(found))


def request_and_reply(story: str, random: np.random.Generator) -> tuple[str, str]:
    """A request that `story` answers, and the answer: the story, or its rest where the request gives its beginning."""
    kind = random.random()
    first_sentence, _, rest = story.partition(". ")
    if kind < 0.1 and rest:
        return str(random.choice(CONTINUE_REQUESTS)).format(first_sentence + "."), rest
    about = subjects(story)
    if kind < 0.2 or not about:
        return str(random.choice(OPEN_REQUESTS)), story
    count = min(len(about), 1 + (random.random() < 0.25))
    return str(random.choice(SUBJECT_REQUESTS)).format(" and ".join(random.permutation(about)[:count])), story


def conversation(story: str, next_story: str, random: np.random.Generator) -> str:
    """A training document: a request for `story` and the story; sometimes also one for `next_story`, or small talk."""
    messages = []
    if random.random() < SYSTEM_SHARE:
        messages.append({"role": "system", "content": str(random.choice(SYSTEM_MESSAGES))})

    def add_turn(request: str, reply: str):
        messages.extend([{"role": "user", "content": request}, {"role": "assistant", "content": reply}])

    if random.random() < SMALL_TALK_SHARE:
        add_turn(*SMALL_TALK[random.integers(len(SMALL_TALK))])
    add_turn(*request_and_reply(story, random))
    if random.random() < SECOND_TURN_SHARE:
        request, reply = request_and_reply(next_story, random)
        add_turn(str(random.choice(NEXT_REQUESTS)).format(request), reply)
    if random.random() < SMALL_TALK_SHARE:
        add_turn(*SMALL_TALK[random.integers(len(SMALL_TALK))])
    return render(messages)
