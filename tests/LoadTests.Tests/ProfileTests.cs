using System.Runtime.CompilerServices;
using Fleet.LoadTests.Profiling;

namespace Fleet.LoadTests.Tests;

[Trait("tier", "fast")]
public sealed class ProfileTests
{
    [Fact]
    public void The_twenty_first_stand_with_their_shares_and_the_rest_in_one_line()
    {
        var own = Enumerable.Range(1, 25).Select(i => new Weighed($"method {i:00}", 26 - i)).ToArray();
        var text = new Profile(own, own, 7, [new("Message", 3000), new("Task", 1000)]).Text("hotpath", 10, 20);
        Assert.Contains("   7.7 %  method 01", text, StringComparison.Ordinal);
        Assert.DoesNotContain("method 21", text, StringComparison.Ordinal);
        Assert.Contains("   4.6 %  5 others", text, StringComparison.Ordinal);
        Assert.Contains("200.0 B an operation", text, StringComparison.Ordinal);
        Assert.Contains("   150.0   75.0 %  Message", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Work_of_this_process_is_found_by_method_and_by_type()
    {
        var (profile, sampled, allocated) = await Profiler.TakeAsync(() => Task.Run(Work), CancellationToken.None);
        Assert.True(sampled > 0 && allocated > 0);
        Assert.Contains(profile.Within, one => one.Name.Contains(nameof(Work), StringComparison.Ordinal));
        Assert.Contains(profile.Types, one => one.Name.Contains(nameof(Marked), StringComparison.Ordinal));
    }

    /// <summary>Two seconds of processor time and 100 MB, however long that takes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Work()
    {
        var done = 0L;
        for (var from = Environment.CpuUsage.UserTime; Environment.CpuUsage.UserTime - from < TimeSpan.FromSeconds(2);)
        {
            for (var i = 0; i < 10_000; i++)
            {
                GC.KeepAlive(new Marked());
                done++;
            }
        }

        for (; done < 4_000_000; done++)
        {
            GC.KeepAlive(new Marked());
        }

        return done;
    }

    private sealed class Marked;
}
