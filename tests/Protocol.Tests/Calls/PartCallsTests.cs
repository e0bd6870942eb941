using CsCheck;
using Fleet.Protocol.Calls;

namespace Fleet.Protocol.Tests.Calls;

[Trait("tier", "fast")]
public sealed class PartCallsTests
{
    [Fact]
    public async Task A_call_that_comes_again_while_it_runs_gets_the_one_answer()
    {
        var calls = new PartCalls();
        var executed = 0;
        var work = new TaskCompletionSource<long>();
        ValueTask<long> Execute()
        {
            executed++;
            return new(work.Task);
        }

        var first = calls.Once(new(1, 1, 1), Execute);
        var again = calls.Once(new(1, 1, 1), Execute);
        work.SetResult(42);
        Assert.Equal(42, await first);
        Assert.Equal(42, await again);
        Assert.Equal(42, await calls.Once(new(1, 1, 1), Execute));
        Assert.Equal(1, executed);
    }

    [Fact]
    public async Task A_call_that_failed_fails_again_and_is_not_executed_again()
    {
        var calls = new PartCalls();
        var executed = 0;
        async ValueTask<long> Execute()
        {
            executed++;
            await Task.FromException(new InvalidOperationException("gone"));
            return 1;
        }

        await Assert.ThrowsAsync<InvalidOperationException>(async () => await calls.Once(new(1, 1, 1), Execute));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await calls.Once(new(1, 1, 1), Execute));
        Assert.Equal(1, executed);
    }

    [Fact]
    public async Task Calls_that_overlapped_leave_one_answer_behind_once_their_device_knows_theirs()
    {
        var calls = new PartCalls();
        var works = Enumerable.Range(0, 3).Select(_ => new TaskCompletionSource<long>()).ToArray();
        var running = works.Select((work, i) => calls.Once(new(1, i + 1, 1), () => new ValueTask<long>(work.Task)))
            .ToArray();
        Assert.Equal(3, calls.Remembered);
        for (var i = works.Length - 1; i >= 0; i--)
        {
            works[i].SetResult(i);
            Assert.Equal(i, await running[i]);
        }

        Assert.Equal(9, await calls.Once(new(1, 4, 4), () => new ValueTask<long>(9)));
        Assert.Equal(1, calls.Remembered);
    }

    /// <summary>What is kept compactly says what the ledger of all calls says.</summary>
    [Fact]
    public void It_executes_and_answers_what_a_ledger_does() => Gen
        .Select(Gen.Int[1, 3], Gen.Long[1, 12], Gen.Long[1, 12])
        .Array[0, 60]
        .Sample(messages =>
        {
            var (calls, ledger) = (new PartCalls(), new CallLedger<string>());
            for (var i = 0; i < messages.Length; i++)
            {
                var (caller, number, known) = messages[i];
                var below = Math.Min(number, known);
                var answer = $"{caller}/{number}/{i}";
                var got = calls.Once(new(caller, number, below), () => new ValueTask<string>(answer)).Result;
                switch (ledger.Begin(caller, number, below, out var before))
                {
                    case CallStand.New:
                        ledger.Answer(caller, number, answer);
                        Assert.Equal(answer, got);
                        break;
                    case CallStand.Answered:
                        Assert.Equal(before, got);
                        break;
                    default:
                        Assert.Null(got);
                        break;
                }
            }
        });
}
