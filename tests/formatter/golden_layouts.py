"""Texts as somebody wrote them, and as the formatter lays them out."""

GOLDEN = {
    "a_bit_of_everything": (
        """\
# head
let a=1 # one
let bcd =[1,2 ,3]   # two


## doc
template t( a,b=1 , c = 2 ){ relu;bn # trailing
  # own

  conv(a ,3x3,stride = b, # inner
     groups= -c) as q
  if a==1 {relu} else if not (b>2) {bn}
  else {
     # only a comment
  }
  split c slice as i { conv(4,3 x i) } merge
    concat
  split { path{a}path {bn; relu} }
  merge add
  residual(shortcut=skip){ bn } shortcut { }
  # end
}
network n { # open
  param list = [10000,20000,30000,40000,50000,60000,70000,80000,90000,100000,110000,120000,130000,140000,150000,160000]
  param x = 2**3 if true else -1 in 1 .. 4 step 2

  budget{flops in 4.0G..4.3G;params<=3}
  budget mobile( input = 3 x 192 x 192,dtype = float16 ) {
    head . params<=1M ; conv3 . 0 . flops in 1 ..2M
    latency( cpu ,batch = 1 )<=5ms
  }
}
""",
        """\
# head
let a   = 1          # one
let bcd = [1, 2, 3]  # two

## doc
template t(a, b = 1, c = 2) {
    relu; bn  # trailing
    # own

    conv(
        a, 3x3, stride=b,  # inner
        groups=-c
    ) as q
    if a == 1 {
        relu
    } else if not (b > 2) {
        bn
    } else {
        # only a comment
    }
    split c slice as i { conv(4, 3 x i) } merge concat
    split { path { a } path { bn; relu } } merge add
    residual(shortcut=skip) { bn } shortcut {}
    # end
}
network n {  # open
    param list = [
        10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000, 90000, 100000, 110000, 120000, 130000, 140000, 150000,
        160000
    ]
    param x = 2 ** 3 if true else -1 in 1..4 step 2

    budget { flops in 4.0G..4.3G; params <= 3 }
    budget mobile(input=3 x 192 x 192, dtype=float16) {
        head.params <= 1M; conv3.0.flops in 1..2M
        latency(cpu, batch=1) <= 5ms
    }
}
""",
    ),
    "spaces": (
        """\
from std . blocks import  bn as b,conv
let a=-1**2-(-b)*- c//(3)   % d
let b = not a<=b and c or d
let c=a if b  else c if d else[1,2,]
let d=3 x n x(n+1)
let e = f ( a,k = - 1 ) [ -1 ] [0]
fn f ( a,b )=a
template t (a, b = g( k = 1 )) {residual ( shortcut = skip ) {use  v ; relu as w}}
network n{default bn( eps = 1e-3 ); param w :int=4 in 1 .. 64 step 2;param v=3x3 in { 3x3,5x5 , };param d=[1,2] in[ 1..2,{ 2,4 }, ]when w>1;param lr=1e-2 in 1e-4 .. 1 log;init{conv . weight=normal( 0.01 )}
output aux when training from s {bn} }
""",
        """\
from std.blocks import bn as b, conv
let a = -1 ** 2 - (-b) * -c // (3) % d
let b = not a <= b and c or d
let c = a if b else c if d else [1, 2]
let d = 3 x n x (n + 1)
let e = f(a, k=-1)[-1][0]
fn f(a, b) = a
template t(a, b = g(k=1)) { residual(shortcut=skip) { use v; relu as w } }
network n {
    default bn(eps=1e-3)
    param w: int = 4 in 1..64 step 2
    param v      = 3x3 in {3x3, 5x5}
    param d      = [1, 2] in [1..2, {2, 4}] when w > 1
    param lr     = 1e-2 in 1e-4..1 log
    init { conv.weight = normal(0.01) }
    output aux when training from s { bn }
}
""",
    ),
    "bodies": (
        """\
network n {
    stem { conv(64, 7x7); bn
        relu }
    head { avgpool(global); flatten; }
    stage a {
        conv(64) }
    stage b { repeat 3 { block(256, stride=first(2, 1)); block(256) }; if expansion != 1 { conv(64, 1x1); bn; relu }; pool }
    stage c { repeat 3 { block(256, stride=first(2, 1)); block(256) }; if expansion != 1 { conv(64, 1x1); bn; relu }; conv(2048, 1x1) }
    residual { conv(64, 3x3); bn; relu; conv(64, 3x3); bn } shortcut { avgpool(2x2, stride=2); conv(channels_in * 2, 1x1); bn } as out
    residual {
        conv(64, 3x3) } shortcut { avgpool(2x2); conv(64, 1x1) }
    if a { bn }
    else { relu }
    if a { bn } else if b {
        relu } else { gelu }
    split { path { bn } path { relu } } merge mul
    split {
        path { }
        path { bn }; path { relu } } merge add
}
network m = n(depths=[3, 4, 23, 3], cardinality=32, width=8) { budget { params <= 44.6M; flops <= 7.84G; depth == 101 } }
""",
        """\
network n {
    stem {
        conv(64, 7x7); bn
        relu
    }
    head { avgpool(global); flatten }
    stage a {
        conv(64)
    }
    stage b {
        repeat 3 { block(256, stride=first(2, 1)); block(256) }; if expansion != 1 { conv(64, 1x1); bn; relu }; pool
    }
    stage c {
        repeat 3 { block(256, stride=first(2, 1)); block(256) }
        if expansion != 1 { conv(64, 1x1); bn; relu }
        conv(2048, 1x1)
    }
    residual {
        conv(64, 3x3); bn; relu; conv(64, 3x3); bn
    } shortcut { avgpool(2x2, stride=2); conv(channels_in * 2, 1x1); bn } as out
    residual {
        conv(64, 3x3)
    } shortcut { avgpool(2x2); conv(64, 1x1) }
    if a { bn } else { relu }
    if a {
        bn
    } else if b {
        relu
    } else {
        gelu
    }
    split { path { bn } path { relu } } merge mul
    split {
        path {}
        path { bn } path { relu }
    } merge add
}
network m = n(depths=[3, 4, 23, 3], cardinality=32, width=8) {
    budget { params <= 44.6M; flops <= 7.84G; depth == 101 }
}
""",
    ),
    "declarations_have_their_own_line": (
        """\
let a = 1; let bcd = 2
network n { input i: 3x8x8; param a = 1
    bn; relu; stem { bn; let c = 1; conv(c) }; head { let c = 1; conv(c)
    bn } }
""",
        """\
let a   = 1
let bcd = 2
network n {
    input i: 3x8x8
    param a = 1
    bn; relu
    stem { bn; let c = 1; conv(c) }
    head {
        let c = 1; conv(c)
        bn
    }
}
""",
    ),
    "equal_signs": (
        """\
let a = 1
let bcd = 2
fn f(a) = 1
let ef = 3

let ghij = 4
# a comment ends a block
let k = 5
let name_that_is_very_much_longer_than_the_other = 6
network n { param a: list = [1]
param bc = 2 # two
let d = 3
let e = 4 }
""",
        """\
let a   = 1
let bcd = 2
fn f(a) = 1
let ef = 3

let ghij = 4
# a comment ends a block
let k = 5
let name_that_is_very_much_longer_than_the_other = 6
network n {
    param a: list = [1]
    param bc      = 2  # two
    let d = 3
    let e = 4
}
""",
    ),
    "long_lines": (
        """\
from std.blocks import conv_bn_act, squeeze_excite, basic, bottleneck, aggregated, concatenated, inverted_residual, dense_layer
let sizes = [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 11000, 12000, 13000, 14000, 15000, 16000, 17000, 18000]
let rows = [[1, 16, 1, 1, 3x3], [6, 24, 2, 2, 3x3], [6, 40, 2, 2, 5x5], [6, 80, 3, 2, 3x3], [6, 112, 3, 1, 5x5], [6, 192, 4, 2, 5x5]]
let rounded = [round(8 * round(initial * growth ** s / 8) / group_width) * group_width for s in steps if s > 0 and s < depth]
let total = depths[0] * channels[0] * channels[0] * 9 + depths[1] * channels[1] * channels[1] * 9 + depths[2] * channels[2]
let chosen = first_of_the_many_possible_values if is_the_first_condition else second_of_the_values if is_the_other else third
let nested = sum([maximum_of_several(first_of_the_many_possible_values, second_of_the_values, third_value, fourth) for a in b])
template inverted(channels, expansion=1, kernel=3x3, stride=1, squeeze=0, act=relu6, squeeze_act=relu, gate=sigmoid, eps=1e-3) { bn }
network n = base(depth=21, initial=80, slope=42.63, growth=2.66, group_width=24, squeeze=0.25, classes=1000, channels=64) { bn }
network m {
    require len(depths) == 4 and len(channels) == 4 and channels[0] % group_width == 0 and channels[3] % group_width == 0, "four"
    init { conv.weight = kaiming_normal(fan_out, per_group=true); conv.bias = zeros; linear.weight = normal(0.01); linear.bias = zeros }
}
""",
        """\
from std.blocks import conv_bn_act, squeeze_excite, basic, bottleneck, aggregated, concatenated, inverted_residual,
    dense_layer
let sizes = [
    1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 11000, 12000, 13000, 14000, 15000, 16000, 17000, 18000
]
let rows = [
    [1, 16, 1, 1, 3x3],
    [6, 24, 2, 2, 3x3],
    [6, 40, 2, 2, 5x5],
    [6, 80, 3, 2, 3x3],
    [6, 112, 3, 1, 5x5],
    [6, 192, 4, 2, 5x5],
]
let rounded = [
    round(8 * round(initial * growth ** s / 8) / group_width) * group_width for s in steps if s > 0 and s < depth
]
let total = depths[0] * channels[0] * channels[0] * 9 + depths[1] * channels[1] * channels[1] * 9 +
    depths[2] * channels[2]
let chosen = first_of_the_many_possible_values if is_the_first_condition else second_of_the_values if is_the_other
    else third
let nested = sum([
    maximum_of_several(first_of_the_many_possible_values, second_of_the_values, third_value, fourth) for a in b
])
template inverted(
    channels, expansion = 1, kernel = 3x3, stride = 1, squeeze = 0, act = relu6, squeeze_act = relu, gate = sigmoid,
    eps = 1e-3
) {
    bn
}
network n = base(
    depth=21, initial=80, slope=42.63, growth=2.66, group_width=24, squeeze=0.25, classes=1000, channels=64
) {
    bn
}
network m {
    require len(depths) == 4 and len(channels) == 4 and channels[0] % group_width == 0 and
        channels[3] % group_width == 0, "four"
    init {
        conv.weight = kaiming_normal(fan_out, per_group=true)
        conv.bias = zeros
        linear.weight = normal(0.01)
        linear.bias = zeros
    }
}
""",
    ),
    "rows_that_the_author_broke": (
        """\
let rows = [
    [1, 16],
    [6, 24]]
let plain = [
    1,
    2,
]
template t { for t, c in [ # expansion, channels
    [1, 16], [6, 24] # both
    ] { block(t, c) } }
""",
        """\
let rows = [
    [1, 16],
    [6, 24],
]
let plain = [1, 2]
template t {
    for t, c in [  # expansion, channels
        [1, 16],
        [6, 24],  # both
    ] {
        block(t, c)
    }
}
""",
    ),
    "comments": (
        """\
# of the file

# of the network
network n # on the way
# to the brace
{ # at the brace

    # first

    bn # at the end


    # apart
    let c = [v # inside
        # on its own
        for v in depths]
    conv( # after the bracket
        64 # before a comma
        , 3x3)
    conv(64,
        # before the last
        3x3 # last
        # below
    ) # behind
    let d = 1 + # why
        2
    split { bn } # after a body
    merge add
    if a { bn }
    # otherwise
    else { relu }
    # last
} # end
""",
        """\
# of the file

# of the network
network n {  # on the way
    # to the brace
    # at the brace

    # first

    bn  # at the end

    # apart
    let c = [
        v  # inside
        # on its own
        for v in depths
    ]
    conv(  # after the bracket
        64,  # before a comma
        3x3
    )
    conv(
        64,
        # before the last
        3x3  # last
        # below
    )  # behind
    let d = 1 +  # why
        2
    split { bn }  # after a body
    merge add
    if a {
        bn
    }
    # otherwise
    else {
        relu
    }
    # last
}  # end
""",
    ),
    "comments_at_line_ends": (
        """\
network n { # one
    param a = 1 # two
    param bcd = 2 # three
    bn # four
    head { # five
        relu # six
    } # seven
    conv(64, 3x3, stride=2, groups=32, padding=same); bn; relu # eight
    bn # nine
}
""",
        """\
network n {  # one
    param a   = 1  # two
    param bcd = 2  # three
    bn             # four
    head {  # five
        relu  # six
    }  # seven
    conv(64, 3x3, stride=2, groups=32, padding=same); bn; relu  # eight
    bn  # nine
}
""",
    ),
    "documentation": (
        """\
## Of the file.

## Of the network.
network n {
    ## Of a.
    param a = 1


    ## Not of b.

    param b = 1
    stem # one
    ## two
    { bn }
}
""",
        """\
## Of the file.

## Of the network.
network n {
    ## Of a.
    param a = 1

    ## Not of b.

    param b = 1
    stem {  # one
        ## two

        bn
    }
}
""",
    ),
    "blank_lines": (
        """\



let a = 1



let b = 2
network n {

    bn


    relu

}


""",
        """\
let a = 1

let b = 2
network n {
    bn

    relu
}
""",
    ),
    "lists": (
        """\
network n {
    input image: 3x8x8
    param a = [1 # first
      , 2, 3 # last
      ]
    param b = [[10000, 20000], [30000, 40000], [50000, 60000], [70000, 80000], [90000, 100000], [110000, 120000], [130000, 140000]]
    param c = [10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000, 90000, 100000, 110000, 120000, 130000, 140000, 150000]
    conv(4, 1x1)
}
""",
        """\
network n {
    input image: 3x8x8
    param a = [
        1,    # first
        2, 3  # last
    ]
    param b = [
        [10000, 20000],
        [30000, 40000],
        [50000, 60000],
        [70000, 80000],
        [90000, 100000],
        [110000, 120000],
        [130000, 140000],
    ]
    param c = [
        10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000, 90000, 100000, 110000, 120000, 130000, 140000, 150000
    ]
    conv(4, 1x1)
}
""",
    ),
}
