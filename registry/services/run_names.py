"""A name for a run whose maker gave none: easy to say, easy to tell apart."""

from __future__ import annotations

import random

ADJECTIVES = """
    able agile airy alert amber ample apt arctic avid azure balmy bold brave breezy
    bright brisk calm candid chilly clever coral cosmic cozy crisp curious dapper daring
    deft dusky eager earnest early easy elder fabled fair fancy fearless fleet fluent
    fond frank fresh gallant gentle gilded glad golden grand green happy hardy hazel
    honest humble icy ideal jade jolly keen kind lively lofty loyal lucid lucky lunar
    mellow merry mighty mild misty modest neat nimble noble polite proud quick quiet
    rapid ready rosy rustic serene sharp silent silver sincere sleek smart snowy solar
    solid spry steady stellar sunny swift tidy tranquil trusty upbeat vivid warm wise
    witty young zesty
""".split()
NOUNS = """
    acorn alder anchor apple arrow aspen atlas badger bay beacon birch bison brook
    canyon cedar cliff clover cloud comet compass condor coral cove crane creek cricket
    delta dolphin dune eagle ember falcon fern field finch fjord forest fox gale garden
    glacier grove gull harbor hare hawk heron hill island ivy jay juniper kestrel lagoon
    lake lantern lark leaf linden lotus lynx maple marsh meadow mesa moon moss mountain
    oak oasis ocean orchid osprey otter owl palm panther peak pebble pine plain planet
    plover pond poppy prairie quartz rain raven reef ridge river robin sage sail seal
    shore sparrow spruce star stone stream summit swan thicket tide trail tulip valley
    violet walnut wave willow wind wren yarrow
""".split()


def new_run_name() -> str:
    """Draw an adjective, a noun and a number, as in "calm-heron-417"."""
    adjective, noun = random.choice(ADJECTIVES), random.choice(NOUNS)
    return f"{adjective}-{noun}-{random.randrange(1000)}"
