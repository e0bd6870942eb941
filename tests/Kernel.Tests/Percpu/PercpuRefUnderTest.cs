namespace Fleet.Kernel.Tests.Percpu;

/// <summary>A ref with its domain, and what it called back, in order.</summary>
internal sealed class PercpuRefUnderTest : IPercpuRefEvents
{
    public PercpuRefUnderTest(PercpuRefInit init = PercpuRefInit.AllowReinit, int cpus = 4)
    {
        Ref = new PercpuRef(Rcu, this, cpus);
        Assert.Equal(Errno.OK, Ref.Init(init));
    }

    public RcuDomain Rcu { get; } = new();

    public PercpuRef Ref { get; }

    public List<string> Events { get; } = [];

    public PercpuRefWarn FoldWarn { get; private set; }

    public int Releases => Events.Count(name => name == "release");

    void IPercpuRefEvents.Released(PercpuRef reference) => Events.Add("release");

    void IPercpuRefEvents.Confirmed(PercpuRef reference, int confirm) => Events.Add($"confirm{confirm}");

    void IPercpuRefEvents.Folded(PercpuRef reference, PercpuRefWarn warn) => FoldWarn |= warn;
}
