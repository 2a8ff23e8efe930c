package auth

// Len is how many signers are remembered.
func (k *Signers) Len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.signers)
}
