"""The lowered program: affine and piecewise-linear steps with float64 coefficients.

A :class:`Network` is the object that all exactness speaks of. Its coefficients are float64
numbers, hence dyadic rationals, so it denotes one definite function on the real plane.
"""

from polyregions.network.activation import Activation as Activation
from polyregions.network.activation import absolute as absolute
from polyregions.network.activation import clamp as clamp
from polyregions.network.activation import leaky_relu as leaky_relu
from polyregions.network.activation import piecewise_linear as piecewise_linear
from polyregions.network.activation import prelu as prelu
from polyregions.network.activation import relu as relu
from polyregions.network.affine import Affine as Affine
from polyregions.network.affine import AffineStep as AffineStep
from polyregions.network.affine import Gather as Gather
from polyregions.network.affine import Rows as Rows
from polyregions.network.affine import Scale as Scale
from polyregions.network.affine import Sum as Sum
from polyregions.network.convolution import Convolution as Convolution
from polyregions.network.maximum import Maximum as Maximum
from polyregions.network.network import Network as Network
from polyregions.network.network import Step as Step
from polyregions.network.network import Units as Units
from polyregions.network.network import joined as joined
from polyregions.network.network import joined_pairs as joined_pairs
from polyregions.network.network import parted as parted
from polyregions.network.values import ByteArray as ByteArray
from polyregions.network.values import FloatArray as FloatArray
from polyregions.network.values import IntArray as IntArray
from polyregions.network.values import exact_float64 as exact_float64
