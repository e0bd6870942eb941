using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Fleet.Tests;

namespace Fleet.Mutation;

/// <summary>A whole run: compile, trace, judge every mutant, report.</summary>
internal static class Campaign
{
    private const double AimPercent = 95;
    private const string Configuration =
#if DEBUG
        "Debug";
#else
        "Release";
#endif

    private static readonly string[] Primitives = ["Devres", "Percpu", "Genalloc", "Rcu", "Block"];

    /// <summary>Processor time that one mutant may take before its worker is ended.</summary>
    private static readonly TimeSpan CpuMax = TimeSpan.FromMinutes(2);

    /// <summary>Time without any processor time before a worker counts as blocked for ever.</summary>
    private static readonly TimeSpan IdleMax = TimeSpan.FromSeconds(30);

    /// <returns>0 when each folder reaches the aim and each survivor is explained; 1 when not; 64 for usage.</returns>
    public static int Run(string[] folders)
    {
        var root = RepositoryFolder.Root;
        if (folders.FirstOrDefault(name => !Directory.Exists(Path.Combine(root, "Kernel", name))) is { } unknown)
        {
            Console.Error.WriteLine($"No folder Kernel/{unknown}: name folders of Kernel, such as Devres.");
            return 64;
        }

        if (folders.Length == 0)
        {
            folders = Primitives;
        }

        var clock = Stopwatch.StartNew();
        var job = new Job(Path.Combine(root, "TestResults", "mutation", string.Join('-', folders)));
        var law = LawCompilation.Compile(root, Configuration, folders);
        job.Begin(
            law.Image, law.Mutants,
            Path.Combine(root, "tests", "Kernel.Tests", "bin", Configuration, "net10.0", "Fleet.Kernel.Tests.dll"));
        Console.WriteLine($"{law.Mutants.Count} mutants compiled in {clock.Elapsed.TotalSeconds:F0} s.");
        if (Trace(job) is var failed and not 0)
        {
            return failed;
        }

        var traced = job.Traced();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{traced.Count} tests take {traced.Sum(test => test.CpuMs) / 1000:F0} s of processor time."));
        var verdicts = Judge(job, law.Mutants);
        var report = new Report(law, verdicts, traced, Explanations.Read(Path.Combine(root, "docs", "mutation.md")));
        Console.WriteLine($"{clock.Elapsed.TotalMinutes:F1} minutes.");
        return report.Write(folders, Path.Combine(job.Folder, "survivors.txt"), AimPercent) ? 0 : 1;
    }

    private static Process Start(params string[] arguments)
    {
        var info = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        info.ArgumentList.Add(typeof(Campaign).Assembly.Location);
        foreach (var argument in arguments)
        {
            info.ArgumentList.Add(argument);
        }

        // A worker that eats memory dies of it before its machine does.
        info.Environment["DOTNET_GCHeapHardLimit"] = "0x80000000";
        info.Environment["DOTNET_DbgEnableMiniDump"] = "0";
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) != "dotnet")
        {
            info.ArgumentList.RemoveAt(0);
        }

        return Process.Start(info)!;
    }

    private static int Trace(Job job)
    {
        using var worker = Start("trace", job.Folder);
        worker.StandardOutput.ReadToEnd();
        worker.WaitForExit();
        return worker.ExitCode;
    }

    private static Dictionary<int, string?> Judge(Job job, List<Mutant> mutants)
    {
        Dictionary<int, string?> verdicts = [];
        while (mutants.Find(mutant => !verdicts.ContainsKey(mutant.Id)) is { } next)
        {
            using var worker = Start("judge", job.Folder, next.Id.ToString(CultureInfo.InvariantCulture));
            using var watch = new Watch(worker, CpuMax, IdleMax);
            int? at = null;
            while (worker.StandardOutput.ReadLine() is { } line)
            {
                if (int.TryParse(line, CultureInfo.InvariantCulture, out var begun))
                {
                    at = begun;
                    watch.Again();
                }
                else if (line.StartsWith("{\"Id\"", StringComparison.Ordinal))
                {
                    var verdict = JsonSerializer.Deserialize<Verdict>(line)!;
                    verdicts[verdict.Id] = verdict.By;
                    at = null;
                    if (verdicts.Count % 100 == 0)
                    {
                        Console.WriteLine($"{verdicts.Count} of {mutants.Count} mutants judged.");
                    }
                }
            }

            worker.WaitForExit();
            if (at is { } lost)
            {
                verdicts[lost] = watch.HasEnded ? "(never ends)" : "(the process dies)";
            }
            else if (worker.ExitCode != 0)
            {
                throw new InvalidOperationException($"The worker ended with {worker.ExitCode} between two mutants.");
            }

        }

        return verdicts;
    }
}
