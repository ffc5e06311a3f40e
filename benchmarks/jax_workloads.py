"""The same workloads for JAX: whole jitted steps with donated state, where JAX is fastest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import workloads as w

# For the float64 products; all other data is float32.
jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

Params = list[tuple[jax.Array, jax.Array]]
Loss = Callable[[Params, jax.Array, jax.Array], jax.Array]
Builder = Callable[[], w.Step]
wait: Callable[[Any], Any] = jax.block_until_ready


def fresh(sizes: tuple[int, ...]) -> Params:
    return [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in w.layers(sizes)]


def forward(
    activation: Callable[[jax.Array], jax.Array], params: Params, x: jax.Array
) -> jax.Array:
    for weight, bias in params[:-1]:
        x = activation(x @ weight + bias)
    return x @ params[-1][0] + params[-1][1]


def mse(activation: Callable[[jax.Array], jax.Array]) -> Loss:
    return lambda params, x, y: jnp.mean((forward(activation, params, x) - y) ** 2)


def mean_cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], axis=1)
    return -jnp.mean(chosen)


def classify(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    return mean_cross_entropy(forward(jax.nn.relu, params, x), y)


def poisson(params: Params, points: jax.Array, right: jax.Array) -> jax.Array:
    def u(point: jax.Array) -> jax.Array:
        return forward(jnp.tanh, params, point)[0]

    laplacian = jax.vmap(lambda point: jnp.trace(jax.hessian(u)(point)))(points)
    return jnp.mean((laplacian - right) ** 2)


def network(params: Params, point: jax.Array) -> jax.Array:
    return forward(jnp.tanh, params, point)[0]


def hessians(params: Params, points: jax.Array) -> jax.Array:
    return jax.vmap(jax.hessian(network, 1), in_axes=(None, 0))(params, points)


def laplacians(params: Params, points: jax.Array) -> jax.Array:
    return jnp.trace(hessians(params, points), axis1=1, axis2=2)


def sample_gradients(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    def loss(each: Params, sample: jax.Array, label: jax.Array) -> jax.Array:
        return classify(each, sample[None], label[None])

    every: Params = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(params, x, y)
    return jnp.swapaxes(every[0][0], 1, 2)


def lstm_step(w_hh: jax.Array, _: jax.Array, state: Any, a: jax.Array) -> Any:
    h, c = state
    i, f, g, o = jnp.split(a + h @ w_hh.T, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru_step(w_hh: jax.Array, b_hh: jax.Array, state: Any, a: jax.Array) -> Any:
    h, c = state
    (ar, az, an), (br, bz, bn) = (jnp.split(x, 3, axis=1) for x in (a, h @ w_hh.T + b_hh))
    n = jnp.tanh(an + jax.nn.sigmoid(ar + br) * bn)
    h = n + jax.nn.sigmoid(az + bz) * (h - n)
    return (h, c), h


def sequence_loss(step: Callable[..., Any]) -> Callable[..., jax.Array]:
    """The squared error of a recurrent layer's outputs; the input's product is made at once."""

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        w_ih, w_hh, b_ih, b_hh = params
        projected = x @ w_ih.T + b_ih + (b_hh if step is lstm_step else 0)
        zeros = jnp.zeros(y.shape[1:], jnp.float32)
        _, outputs = jax.lax.scan(partial(step, w_hh, b_hh), (zeros, zeros), projected)
        return jnp.mean((outputs - y) ** 2)

    return loss


def weights(gates: int) -> Callable[[], Any]:
    return lambda: [jnp.array(values) for values in w.recurrent_weights(gates)]


# Optimizers: state is (parameters, first moments, second moments, steps) -------------------------


def adam_update(state: Any, grads: Any) -> Any:
    params, first, second, count = state
    count = count + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    rate = 1e-3 / (1 - 0.9**count)
    scale = jax.lax.rsqrt(1 - 0.999**count)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * scale + 1e-8), params, first, second
    )
    return params, first, second, count


def sgd_update(momentum: float) -> Callable[[Any, Any], Any]:
    def update(state: Any, grads: Any) -> Any:
        params, first, second, count = state
        if momentum:
            grads = first = jax.tree.map(lambda m, g: momentum * m + g, first, grads)
        params = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
        return params, first, second, count

    return update


def fresh_state(params: Any) -> Any:
    return (
        params,
        jax.tree.map(jnp.zeros_like, params),
        jax.tree.map(jnp.zeros_like, params),
        jnp.float32(0),
    )


def trainer(
    start: tuple[int, ...] | Callable[[], Any],
    loss: Callable[..., jax.Array],
    update: Callable[[Any, Any], Any],
    data: Callable[[], tuple[w.Array, w.Array]],
) -> Builder:
    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, jax.Array]:
        value, grads = jax.value_and_grad(loss)(state[0], x, y)
        return update(state, grads), value

    def build() -> w.Step:
        x, y = (jnp.array(values) for values in data())
        state = fresh_state(start() if callable(start) else fresh(start))

        def run() -> Any:
            nonlocal state
            state, value = step(state, x, y)
            return value

        return run

    return build


# Single calls: each waits for its result, as the others' calls do -------------------------


def call(
    function: Callable[..., Any], data: Callable[[], tuple[Any, ...]], calls: int = 1
) -> Builder:
    compiled = jax.jit(function)

    def build() -> w.Step:
        arguments = data()

        def run() -> Any:
            for _ in range(calls):
                result = wait(compiled(*arguments))
            return result

        return run

    return build


def with_grads(loss: Callable[..., jax.Array], argnums: tuple[int, ...]) -> Callable[..., Any]:
    return jax.value_and_grad(loss, argnums=argnums)


def first_of(builder: Builder) -> Builder:
    """Compare the loss alone; the gradients are computed and waited for all the same."""

    def build() -> w.Step:
        run = builder()
        return lambda: run()[0]

    return build


def adam_only() -> Builder:
    step = jax.jit(adam_update, donate_argnums=0)

    def build() -> w.Step:
        shape = (w.ADAM_SIDE, w.ADAM_SIDE)
        grads = [jnp.array(w.uniform(shape, 50 + i)) for i in range(w.ADAM_TENSORS)]
        state = fresh_state([jnp.array(w.uniform(shape, i)) for i in range(w.ADAM_TENSORS)])

        def run() -> jax.Array:
            nonlocal state
            state = wait(step(state, grads))
            head: jax.Array = state[0][0]
            return head

        return run

    return build


def exp_tanh(x: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.mean(jnp.exp(jnp.tanh(x + b) * x))


def ramp(shape: tuple[int, ...]) -> tuple[jax.Array]:
    return (jnp.array(w.uniform(shape, 1, -2.0, 3.0)),)


def matrices(side: int, double: bool) -> tuple[jax.Array, ...]:
    kind = jnp.float64 if double else jnp.float32
    return tuple(jnp.array(w.uniform((side, side), seed, 0.0), dtype=kind) for seed in (1, 2))


def builders() -> dict[str, Builder]:
    result: dict[str, Builder] = {
        "add": call(
            jnp.add, lambda: (jnp.ones(1, jnp.float32), jnp.full(1, 2, jnp.float32)), w.CALLS
        ),
        "one-sample": call(
            partial(forward, jax.nn.relu),
            lambda: (fresh(w.RELU_MLP), jnp.array(w.uniform((1, 4), 1))),
        ),
        "mlp-relu": trainer(
            w.RELU_MLP, classify, sgd_update(0.0), lambda: (w.uniform((32, 4), 1), w.labels(32, 3))
        ),
        "mlp-tanh": trainer(
            w.TANH_MLP,
            mse(jnp.tanh),
            adam_update,
            lambda: (w.uniform((64, 2), 1), w.uniform((64, 1), 2)),
        ),
        "pinn": trainer(
            w.PINN, poisson, adam_update, lambda: (w.uniform((256, 2), 1), w.uniform((256,), 2))
        ),
        "hessian": call(hessians, lambda: (fresh(w.SMALL_MLP), jnp.array(w.uniform((64, 2), 1)))),
        "laplacian": call(
            laplacians, lambda: (fresh(w.SMALL_MLP), jnp.array(w.uniform((256, 2), 1)))
        ),
        "laplacian-nested": call(
            laplacians, lambda: (fresh(w.SMALL_MLP), jnp.array(w.uniform((256, 2), 1)))
        ),
        "laplacian-reverse": call(
            laplacians, lambda: (fresh(w.SMALL_MLP), jnp.array(w.uniform((256, 2), 1)))
        ),
        "per-sample": call(
            sample_gradients,
            lambda: (
                fresh(w.SAMPLE_MLP),
                jnp.array(w.uniform((64, 64), 1)),
                jnp.array(w.labels(64, 10)),
            ),
        ),
        "mlp-image": trainer(
            w.IMAGE_MLP,
            classify,
            adam_update,
            lambda: (w.uniform((128, 784), 1, 0.0), w.labels(128, 10)),
        ),
        "lstm": trainer(weights(4), sequence_loss(lstm_step), sgd_update(0.0), w.sequences),
        "gru": trainer(weights(3), sequence_loss(gru_step), sgd_update(0.0), w.sequences),
        "mlp-wide": trainer(
            w.WIDE_MLP,
            mse(partial(jax.nn.gelu, approximate=False)),
            sgd_update(0.9),
            lambda: (w.uniform((512, 1024), 1), w.uniform((512, 1024), 2)),
        ),
        "exp-tanh": first_of(
            call(
                with_grads(exp_tanh, (0, 1)),
                lambda: (jnp.array(w.uniform(w.BIG, 1)), jnp.array(w.uniform(w.BIG[1:], 2))),
            )
        ),
        "cross-entropy": first_of(
            call(
                with_grads(mean_cross_entropy, (0,)),
                lambda: (jnp.array(w.uniform(w.BIG, 1)), jnp.array(w.labels(*w.BIG))),
            )
        ),
        "adam": adam_only(),
    }
    functions: dict[str, Callable[..., Any]] = {
        "exp": jnp.exp,
        "tanh": jnp.tanh,
        "gelu": partial(jax.nn.gelu, approximate=False),
        "sigmoid": jax.nn.sigmoid,
    }
    for name, function in functions.items():
        for suffix, shape in (("4k", (4096,)), ("4m", w.BIG)):
            result[f"{name}-{suffix}"] = call(function, partial(ramp, shape))
    for kind, double in (("f32", False), ("f64", True)):
        for side in (512, 1024):
            result[f"matmul-{kind}-{side}"] = call(jnp.matmul, partial(matrices, side, double))
    return result


BUILDERS = builders()
