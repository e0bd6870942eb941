using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Fleet.LoadTests.Measuring;

/// <summary>Runs a benchmark of memory in a process in which nothing else ran.</summary>
/// <remarks>
/// A heap gives up by and by what an earlier benchmark left, and a peak is the process's: idle devices seemed to hold
/// a fifth less after the cold path, lives less than nothing, and a pass five times its peak.
/// </remarks>
internal static class OwnProcess
{
    /// <summary>The lines that it told; those of one that was stopped as well, before the stop is thrown.</summary>
    /// <exception cref="InvalidOperationException">It failed; the message has what it said.</exception>
    public static async IAsyncEnumerable<Line> RunAsync(
        string benchmark, bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-");
        try
        {
            var file = Path.Combine(folder.FullName, "lines.json");
            string[] quick = isQuick ? ["--quick"] : [];
            using var process = Process.Start(new ProcessStartInfo(
                "dotnet",
                [Path.Combine(AppContext.BaseDirectory, "loadtests.dll"), "bench", benchmark, .. quick, "--out", file])
            {
                RedirectStandardOutput = true,
            })!;
            await using var end = ct.Register(() => process.Kill(entireProcessTree: true));
            var said = await process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            await process.WaitForExitAsync(CancellationToken.None);
            foreach (var line in File.Exists(file) ? BenchFile.Read(file).Courses.Single().Lines : [])
            {
                yield return line;
            }

            ct.ThrowIfCancellationRequested();
            if (process.ExitCode != 0)
            {
                throw new InvalidOperationException($"{benchmark} ended with {process.ExitCode}: {said}");
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
