using Fleet.Kernel;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Tests.Calls;

[Trait("tier", "fast")]
public sealed class ClientLedgerTests
{
    private static readonly FrontReply Reply = new(Errno.OK, new(1, 5, 1), 7, 4096, 0, 0, 0);

    [Fact]
    public async Task Who_asks_for_a_running_call_waits_for_its_own_answer()
    {
        var calls = new ClientLedger().Of(1, 2);
        Assert.Equal(CallStand.New, calls.Begin(10, 10, out _));
        Assert.Equal(CallStand.New, calls.Begin(11, 10, out _));
        var waiting = calls.AnsweredAsync(10).AsTask();
        calls.Answer(11, Reply);
        Assert.False(waiting.IsCompleted);
        Assert.Equal(CallStand.Running, calls.Begin(10, 10, out _));
        calls.Answer(10, Reply);
        await waiting;
        Assert.Equal((CallStand.Answered, Reply), (calls.Begin(10, 10, out var known), known));
    }

    [Fact]
    public void Who_asks_for_a_call_that_is_not_running_does_not_wait()
    {
        var calls = new ClientLedger().Of(1, 2);
        Assert.True(calls.AnsweredAsync(10).IsCompleted);
        calls.Begin(10, 10, out _);
        calls.Answer(10, Reply);
        Assert.True(calls.AnsweredAsync(10).IsCompleted);
        calls.Begin(12, 12, out _);
        Assert.True(calls.AnsweredAsync(10).IsCompleted);
        Assert.Equal(CallStand.Refused, calls.Begin(10, 10, out _));
    }

    [Fact]
    public void A_client_of_another_session_is_another_client()
    {
        var ledger = new ClientLedger();
        Assert.Same(ledger.Of(1, 2), ledger.Of(1, 2));
        Assert.NotSame(ledger.Of(1, 2), ledger.Of(2, 1));
    }
}
