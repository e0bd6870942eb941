using System.Runtime;

namespace Fleet.LoadTests.Measuring;

/// <summary>What the compiler has taken of this process's time since a moment: code that still is compiled is not
/// warm.</summary>
internal readonly struct Compiling
{
    /// <summary>Of the processor time: what is as good as nothing.</summary>
    private const double LittleMax = 0.02;

    private readonly TimeSpan _compiled;
    private readonly TimeSpan _cpu;

    private Compiling(TimeSpan compiled, TimeSpan cpu) => (_compiled, _cpu) = (compiled, cpu);

    public static Compiling Start() => new(JitInfo.GetCompilationTime(), Environment.CpuUsage.TotalTime);

    public bool IsLittle =>
        JitInfo.GetCompilationTime() - _compiled < LittleMax * (Environment.CpuUsage.TotalTime - _cpu);
}
