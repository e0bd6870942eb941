namespace Fleet.Kernel.Tests.Rcu;

[Trait("tier", "fast")]
public sealed class CompletionTests
{
    [Fact]
    public void Each_complete_lets_one_wait_through()
    {
        var completion = new Completion();
        Assert.False(completion.TryWait());
        completion.Complete();
        completion.Complete();
        Assert.True(completion.TryWait());
        Assert.True(completion.TryWait());
        Assert.False(completion.TryWait());
    }

    // I38: what a completion of an earlier life latched lets a wait of a later life through at once.
    [Fact]
    public void Complete_all_latches_until_reinit()
    {
        var completion = new Completion();
        completion.CompleteAll();
        Assert.True(completion.TryWait());
        Assert.True(completion.TryWait());
        completion.Complete();
        Assert.True(completion.IsLatched);
        completion.Reinit();
        Assert.False(completion.IsDone);
    }

    [Fact]
    public void A_single_complete_does_not_latch()
    {
        var completion = new Completion();
        Assert.False(completion.IsDone);
        completion.Complete();
        Assert.Equal((true, false), (completion.IsDone, completion.IsLatched));
    }

    [Fact]
    public void The_digest_is_the_count()
    {
        Action<Completion>[] lives =
        [
            _ => { },
            one => one.Complete(),
            one => { one.Complete(); one.Complete(); },
            one => one.CompleteAll(),
        ];
        var digests = lives.Select(life =>
        {
            var (completion, hash) = (new Completion(), StateHash.Seed);
            life(completion);
            completion.HashInto(ref hash);
            return hash;
        });
        Assert.Equal(lives.Length, digests.Append(StateHash.Seed).Distinct().Count() - 1);
    }
}
