using System.Text.Json;

namespace Fleet.Mutation;

/// <summary>A test as the run without a mutant saw it.</summary>
/// <param name="CpuMs">Processor time that it took, compilation to machine code included.</param>
/// <param name="Ticks">Rounds of the law's loops.</param>
/// <param name="Reached">Mutants whose sites it reached.</param>
internal sealed record TracedTest(string Name, double CpuMs, long Ticks, List<int> Reached);

/// <summary>What became of a mutant.</summary>
/// <param name="By">The test that failed, or the way in which the run did not end; null for a survivor.</param>
internal sealed record Verdict(int Id, string? By);

/// <summary>The folder in which the program and its worker processes hand work to each other.</summary>
internal sealed record Job(string Folder)
{
    public string Image => Path.Combine(Folder, "law", "Fleet.Kernel.dll");

    private string MutantFile => Path.Combine(Folder, "mutants.json");

    private string TraceFile => Path.Combine(Folder, "trace.json");

    private string Tests => Path.Combine(Folder, "law", "Fleet.Kernel.Tests.dll");

    /// <param name="tests">Their assembly; a copy is used, so that a build meanwhile does no harm.</param>
    public void Begin(byte[] image, List<Mutant> mutants, string tests)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Image)!);
        File.WriteAllBytes(Image, image);
        File.WriteAllText(MutantFile, JsonSerializer.Serialize(mutants));
        File.Copy(tests, Tests, overwrite: true);
    }

    public List<Mutant> Mutants() => JsonSerializer.Deserialize<List<Mutant>>(File.ReadAllText(MutantFile))!;

    public List<TracedTest> Traced() => JsonSerializer.Deserialize<List<TracedTest>>(File.ReadAllText(TraceFile))!;

    public void Keep(List<TracedTest> traced) => File.WriteAllText(TraceFile, JsonSerializer.Serialize(traced));

    public MutatedLaw Load() => new(Image, Tests);
}
