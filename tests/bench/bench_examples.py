"""Small networks to time."""

SMALL = """\
network small {
    input image: 3x16x16
    param width = 4 in 1..64
    stem { conv(width, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(2) }
}
"""

OTHER = SMALL.replace("network small", "network other").replace("width = 4", "width = 8")
