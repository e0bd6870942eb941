using System.Runtime.CompilerServices;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Tests;

[Trait("tier", "fast")]
public sealed class ProcedureMethodBuilderTests
{
    private static readonly AsyncLocal<int> Flows = new();

    [Fact]
    public async Task A_result_comes_through_frames_that_suspend()
    {
        var gate = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var sum = Sum(gate.Task, 3);
        Assert.False(sum.IsCompleted);
        gate.SetResult(5);
        Assert.Equal(15, await sum);
    }

    [Fact]
    public async Task A_result_comes_through_frames_that_never_suspend()
    {
        var sum = Sum(Task.FromResult(5), 3);
        Assert.True(sum.IsCompletedSuccessfully);
        Assert.Equal(15, await sum);
    }

    // Goal: a frame that is used again belongs to its new call alone, from many threads at once.
    [Fact]
    public async Task Frames_are_used_again_without_mixing_their_calls()
    {
        for (var round = 0; round < 20; round++)
        {
            var gates = Enumerable.Range(0, 64)
                .Select(_ => new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously))
                .ToArray();
            var sums = gates.Select((gate, i) => Sum(gate.Task, i % 4).AsTask()).ToArray();
            await Task.WhenAll(gates.Select((gate, i) => Task.Run(() => gate.SetResult(i))));
            Assert.Equal(gates.Select((_, i) => i * (i % 4)), await Task.WhenAll(sums));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_exception_reaches_whoever_awaits(bool suspends)
    {
        var gate = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!suspends)
        {
            gate.SetResult(1);
        }

        var failing = Failing(gate.Task);
        gate.TrySetResult(1);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await failing);
        var failingWithResult = FailingWithResult(gate.Task);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await failingWithResult);
    }

    [Fact]
    public async Task The_execution_context_is_kept_across_an_await_that_is_no_point()
    {
        var gate = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        Flows.Value = 7;
        var seen = Flowing(gate.Task);
        Flows.Value = 8;
        await Task.Run(() => gate.SetResult(0));
        Assert.Equal(7, await seen);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<int> Sum(Task<int> part, int times)
    {
        var sum = 0;
        for (var i = 0; i < times; i++)
        {
            var one = await Part(part);
            sum += one;
        }

        return sum;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<int> Part(Task<int> part)
    {
        await Passing(part);
        return await part;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask Passing(Task part) => await part;

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask Failing(Task first)
    {
        await first;
        throw new InvalidOperationException("planted");
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<int> FailingWithResult(Task first)
    {
        await first;
        throw new InvalidOperationException("planted");
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<int> Flowing(Task first)
    {
        await first;
        return Flows.Value;
    }
}
