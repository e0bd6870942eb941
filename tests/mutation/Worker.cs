using System.Text.Json;

namespace Fleet.Mutation;

/// <summary>
/// A process that runs tests against the mutated law; it may hang or die with a mutant, so it is not alone.
/// </summary>
internal static class Worker
{
    /// <summary>A mutant whose loops go round this many times more often than those of the law is endless.</summary>
    private const int Endless = 50;

    private const int EndlessAtLeast = 100_000;

    /// <summary>Runs every test without a mutant: what it reaches, and what it costs.</summary>
    /// <returns>1 when one of them fails, which is then no judge of mutants.</returns>
    public static int Trace(Job job)
    {
        var idMax = job.Mutants().Max(mutant => mutant.Id);
        var law = job.Load();
        var suite = new Suite(law.Tests);
        List<TracedTest> traced = [];
        var failed = 0;
        foreach (var test in suite.Cases)
        {
            var before = Environment.CpuUsage.TotalTime;
            var passes = false;
            var (reached, ticks) = law.Trace(idMax, () => passes = suite.Passes(test));
            var spent = Environment.CpuUsage.TotalTime - before;
            traced.Add(new(Suite.NameOf(test), spent.TotalMilliseconds, ticks, reached));
            if (!passes)
            {
                failed = 1;
                Console.Error.WriteLine($"Fails without a mutant: {Suite.NameOf(test)}");
            }
        }

        job.Keep(traced);
        return failed;
    }

    /// <summary>
    /// Gives a verdict for each mutant from one on: a line when it begins, a line of the verdict when it ends.
    /// </summary>
    public static int Judge(Job job, int first)
    {
        var law = job.Load();
        var suite = new Suite(law.Tests);
        var cases = suite.Cases.ToLookup(Suite.NameOf);
        var traced = job.Traced();
        var mutants = job.Mutants();
        foreach (var mutant in mutants.Where(mutant => mutant.Id >= first))
        {
            Console.WriteLine(mutant.Id);
            // A site that only threads reach, and not each time, is judged by the tests that reach its member.
            var site = traced.Exists(test => test.Reached.Contains(mutant.Id))
                ? [mutant.Id]
                : mutants.Where(other => other.Place == mutant.Place).Select(other => other.Id).ToHashSet();
            // The tests of its own folder first, then by cost: most mutants die of a cheap one.
            var by = traced.Where(test => test.Reached.Exists(site.Contains))
                .OrderBy(test => Math.Max(1, test.CpuMs) * (Suite.IsOf(test.Name, mutant.Folder) ? 1 : 10))
                .FirstOrDefault(test =>
                {
                    law.Activate(mutant.Id, Math.Max(EndlessAtLeast, test.Ticks * Endless));
                    return cases[test.Name].Any(one => !suite.Passes(one));
                });
            law.Activate(-1, long.MaxValue);
            Console.WriteLine(JsonSerializer.Serialize(new Verdict(mutant.Id, by?.Name)));
        }

        return 0;
    }
}
