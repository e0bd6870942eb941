namespace Fleet.Grains.Tests;

// Goal: one rule says what a lost answer is, and a cancellation is one exactly where nobody here asked for it.
[Trait("tier", "fast")]
public sealed class LostCallTests
{
    [Fact]
    public void A_cancellation_that_the_caller_did_not_ask_for_is_a_lost_answer()
    {
        using var own = new CancellationTokenSource();
        var cancelled = new TaskCanceledException();

        Assert.True(LostCall.Is(cancelled));
        Assert.True(LostCall.Is(cancelled, own.Token));
        own.Cancel();
        Assert.False(LostCall.Is(cancelled, own.Token));
        Assert.True(LostCall.Is(new TimeoutException(), own.Token));
        Assert.False(LostCall.Is(new InvalidOperationException()));
    }

    [Fact]
    public async Task A_call_that_was_cancelled_elsewhere_is_made_again()
    {
        var calls = 0;
        var answer = await LostCall.RepeatAsync(
            () => ++calls < 3 ? ValueTask.FromException<int>(new TaskCanceledException()) : new(calls),
            TimeProvider.System);

        Assert.Equal(3, answer);
    }

    [Fact]
    public async Task Who_gives_up_is_not_asked_to_try_again()
    {
        using var own = new CancellationTokenSource();
        await own.CancelAsync();

        await Assert.ThrowsAsync<OperationCanceledException>(() => LostCall.RepeatAsync(
            () => new ValueTask<int>(1), TimeProvider.System, own.Token.ThrowIfCancellationRequested).AsTask());
    }
}
