using CsCheck;
using Fleet.Protocol.Calls;

namespace Fleet.Protocol.Tests.Calls;

[Trait("tier", "fast")]
public sealed class CallLedgerTests
{
    [Fact]
    public void A_repeated_call_gets_the_first_answer()
    {
        var ledger = new CallLedger<string>();
        Assert.Equal(CallStand.New, ledger.Begin(1, 7, 7, out _));
        Assert.Equal(CallStand.Running, ledger.Begin(1, 7, 7, out _));
        ledger.Answer(1, 7, "done");
        Assert.Equal(CallStand.Answered, ledger.Begin(1, 7, 7, out var reply));
        Assert.Equal("done", reply);
    }

    [Fact]
    public void A_question_about_a_call_that_was_not_seen_bars_it()
    {
        var ledger = new CallLedger<string>();
        Assert.Equal(CallStand.Refused, ledger.Resolve(1, 7, out _));
        Assert.Equal(CallStand.Refused, ledger.Begin(1, 7, 7, out _));
        Assert.Equal(CallStand.New, ledger.Begin(2, 7, 7, out _));
    }

    [Fact]
    public void A_call_whose_caller_went_on_is_refused()
    {
        var ledger = new CallLedger<string>();
        Assert.Equal(CallStand.New, ledger.Begin(1, 8, 8, out _));
        Assert.Equal(CallStand.Refused, ledger.Begin(1, 7, 7, out _));
    }

    // Goal: whatever the network does to the messages of a caller, each call runs once at most, never after its caller
    // was told that it did not, and an answer is always that of the one execution.
    // Method: messages are sent, repeated, delayed and asked about in any order; executions are counted beside.
    [Fact]
    public void Every_call_runs_once_at_most() =>
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 9], Gen.Int[0, 2]).Array[0, 60].Sample(moves =>
        {
            var ledger = new CallLedger<long>();
            var executed = new Dictionary<(int Caller, long Number), int>();
            var denied = new HashSet<(int Caller, long Number)>();
            var known = new long[3];
            foreach (var (caller, number, kind) in moves)
            {
                if (kind == 0)
                {
                    known[caller] = Math.Max(known[caller], number);
                    var stand = ledger.Resolve(caller, number, out var told);
                    Assert.True(stand is not CallStand.Answered || told == (caller * 100) + number);
                    if (stand is CallStand.Refused)
                    {
                        denied.Add((caller, number));
                    }

                    continue;
                }

                if (ledger.Begin(caller, number, Math.Min(known[caller], number), out var reply) is CallStand.New)
                {
                    executed[(caller, number)] = executed.GetValueOrDefault((caller, number)) + 1;
                    Assert.DoesNotContain((caller, number), denied);
                    ledger.Answer(caller, number, (caller * 100) + number);
                }
                else
                {
                    Assert.True(reply == 0 || reply == (caller * 100) + number);
                }
            }

            Assert.All(executed.Values, times => Assert.Equal(1, times));
        });
}
